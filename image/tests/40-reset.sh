#!/usr/bin/env bash
# Factory reset: the store and the configuration go, the device's identity stays. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154,SC2016,SC2034
set -euo pipefail
say "factory reset"
check "ssh answers" within 300 is_up
identity() { in_vm 'cat /ident/machine-id /ident/ssh_host_ed25519_key.pub'; }
before=$(identity)
config_hash=$(state | sed -n 's/.*"config_hash":"\([^"]*\)".*/\1/p') || true
check "it restarts, and the provisioned key is taken again" after_restart 600 order factory_reset r1 "\"config_hash\":\"$config_hash\","
check "the data partition was made anew" within 60 in_vm '[ ! -e /data/update/result.json ]'
check "the device is the same" eval '[ "$(identity)" = "$before" ]'
check "it is done once" within 60 in_vm 'ibe-bootctl status | grep -qx reset=0'
check "the gateway is active, as it was provisioned" within 200 in_vm 'iobuffer status --data /var/lib/iobuffer --json | grep -q "\"id\":\"scale\""'
check "it goes off in order" off
