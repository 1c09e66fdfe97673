#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# plugin.sh - which function of lib/ runs in which phase. DevStack sources it with MODE [PHASE].

_XTRACE_KAFKA_PLUGIN=$(set +o | grep xtrace)
set +o xtrace

case "$1 ${2:-}" in
    "stack pre-install")
        check_messaging
        if is_service_enabled kafka; then
            check_kafka
        fi
        ;;
    "stack install")
        prepare_messaging
        if is_service_enabled kafka; then
            echo_summary "Installing Apache Kafka"
            install_kafka
        fi
        ;;
    "stack post-config")
        if is_service_enabled kafka; then
            echo_summary "Configuring and starting Apache Kafka"
            configure_kafka
            start_kafka
        fi
        ;;
    "unstack ")
        stop_kafka
        ;;
    "clean ")
        cleanup_kafka
        ;;
esac

$_XTRACE_KAFKA_PLUGIN
