#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# phases.bash stack|unstack|clean [configure] - runs what stack.sh, unstack.sh and clean.sh run of a
# plug-in, in their order and with their error handling, on the real functions of DevStack. It lies
# in the folder of DevStack. What is left out is everything else that those scripts do.
#
# What it sources is DevStack's, and so is what reads its variables:
# shellcheck disable=SC1090,SC1091,SC2034

TOP_DIR=$(cd "$(dirname "$0")" && pwd)
FILES=$TOP_DIR/files
cd "$TOP_DIR" || exit 1
unset LANG LANGUAGE
export LC_ALL=C.UTF-8
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
exec 3>&1 6>&1

source "$TOP_DIR/functions"

# Of stack.sh itself, which cannot be sourced.
function echo_summary {
    echo -e "SUMMARY: $*" >&6
}
eval "$(sed -n '/^function read_password/,/^}/p' "$TOP_DIR/stack.sh")"

function source_libraries {
    local library
    for library in "$@"; do
        if [[ -f "$TOP_DIR/lib/$library" ]]; then
            source "$TOP_DIR/lib/$library"
        fi
    done
}
# After lib/database, lib/rpc_backend and lib/host, as stack.sh does it.
PROJECTS=(
    apache tls infra libraries lvm horizon keystone glance nova placement cinder swift neutron
    ldap dstat atop tcpdump etcd3 os-vif
)

function fail_on_errors {
    set -o errexit -o errtrace
    trap 'echo "FAILED: ${BASH_SOURCE[0]#$TOP_DIR/}:$LINENO: $BASH_COMMAND" >&2' ERR
}

# What the services' own libraries do about messaging, line by line as it stands there.
function configure_services {
    local etc=$DEST/etc library line conf vhost
    mkdir -p "$etc"
    KEYSTONE_CONF=$etc/keystone.conf GLANCE_API_CONF=$etc/glance-api.conf
    CINDER_CONF=$etc/cinder.conf NEUTRON_CONF=$etc/neutron.conf
    NOVA_CONF=$etc/nova.conf NOVA_CPU_CONF=$etc/nova-cpu.conf NOVA_CPU_CELL=1
    conf=$etc/nova_cell1.conf vhost=nova_cell1
    for library in keystone glance cinder neutron nova; do
        while read -r line; do
            eval "$line"
        done < <(grep -hE "$MESSAGING" "$TOP_DIR/lib/$library" | sed 's/^ *//')
    done
}
MESSAGING='^ *(iniset .*(get_(transport|notification)_url|oslo_messaging_notifications driver)'
MESSAGING+='|iniset_rpc_backend |rpc_backend_add_vhost )'

function stack {
    source "$TOP_DIR/lib/stack"
    rm -f "$TOP_DIR/.localrc.auto"
    extract_localrc_section "$TOP_DIR/local.conf" "$TOP_DIR/localrc" "$TOP_DIR/.localrc.auto"
    GetDistro
    source "$TOP_DIR/stackrc"
    disable_negated_services
    async_init
    fail_on_errors
    source_libraries database rpc_backend host
    run_phase override_defaults
    source_libraries "${PROJECTS[@]}"
    run_phase source
    if is_service_enabled rabbit; then
        read_password RABBIT_PASSWORD "of RabbitMQ"
    fi
    save_stackenv
    run_phase stack pre-install
    # What services call is to be clean under nounset; DevStack's own functions are not.
    (set -o nounset; get_transport_url; get_transport_url a; get_notification_url) > /dev/null
    configure_services
    if [[ "${1:-}" != "configure" ]]; then
        run_phase stack install
        run_phase stack post-config
        run_phase stack extra
        run_phase stack test-config
    fi
    save_stackenv
}

function unstack {
    source "$TOP_DIR/lib/database"
    source "$TOP_DIR/openrc"
    DATA_DIR=${DATA_DIR:-$DEST/data}
    GetDistro
    run_phase override_defaults
    source_libraries "${PROJECTS[@]}"
    load_plugin_settings
    # unstack.sh goes on after an error; a plug-in ought to make none.
    fail_on_errors
    run_phase unstack
}

function clean {
    source "$TOP_DIR/openrc"
    if [[ -r "$TOP_DIR/.stackenv" ]]; then
        source "$TOP_DIR/.stackenv"
    fi
    GetDistro
    source_libraries apache ldap database rpc_backend tls libraries lvm horizon keystone glance \
        nova placement cinder swift neutron
    # clean.sh runs unstack.sh here.
    load_plugin_settings
    fail_on_errors
    run_phase clean
}

"$@"
