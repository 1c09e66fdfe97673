#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the plug-in needs of DevStack, for tests of its functions without a DevStack. The tests that
# need the real one are in test_stack.py.
#
# Its variables are for the plug-in:
# shellcheck disable=SC1090,SC2034
set -o errexit -o nounset -o pipefail

function define_plugin {
    :
}
function echo_summary {
    echo "SUMMARY: $*"
}
function warn {
    echo "[WARNING] $2"
}
function die {
    echo "[ERROR] ${*:2}" >&2
    exit 1
}

function is_service_enabled {
    [[ ",$ENABLED_SERVICES," == *",$1,"* ]]
}
function enable_service {
    if [[ ",${DISABLED_SERVICES:-}," != *",$1,"* ]]; then
        ENABLED_SERVICES+=",$1"
    fi
}

function enable_plugin {
    :
}
function disable_service {
    DISABLED_SERVICES=${DISABLED_SERVICES:-},$1
    ENABLED_SERVICES=${ENABLED_SERVICES//$1/}
}

# One line for each option that is set: file, section, option, value.
function iniset {
    echo "iniset $1 [$2] $3 = $4"
}

function sudo {
    "$@"
}
function rabbitmqctl {
    if [[ "$1" == list_vhosts ]]; then
        printf '%s\n' "Listing vhosts ..." name / nova_cell10
    else
        echo "rabbitmqctl $*"
    fi
}

# 198.51.100.0/24 is for documentation: no address of this machine, and no name server is asked.
ENABLED_SERVICES=${ENABLED_SERVICES:-rabbit}
SERVICE_HOST=${SERVICE_HOST:-198.51.100.1}
HOST_IP=${HOST_IP:-198.51.100.1}
RABBIT_USERID=${RABBIT_USERID:-stackrabbit}
RABBIT_PASSWORD=${RABBIT_PASSWORD-rabbitpw}
DEST=${DEST:-/opt/stack}
DATA_DIR=${DATA_DIR:-/opt/stack/data}
FILES=${FILES:-/opt/stack/devstack/files}
STACK_USER=$(id -un)
SYSTEMCTL=${SYSTEMCTL:-false}

# What stackrc does with the section localrc of local.conf.
if [[ -n "${LOCALRC:-}" ]]; then
    source "$LOCALRC"
fi
