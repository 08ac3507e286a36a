#!/bin/sh
# Brings a changed image, secret, setting or swarm-stack.yml to a running stack, one node after the other:
#
#   BALLOT_IMAGE=registry.example.org/ballot-ledger:0.2.0 deploy/roll.sh [STACK]
#
# with the same BALLOT_ variables as for `docker stack deploy`. For every node its migrations run, then its PostgreSQL,
# then its ledger service is replaced where it changed. The next node's turn comes when this one is well; if one is
# not, nothing else is touched. Run on a manager.
set -eu
cd "$(dirname "$0")/.."
stack=${1:-ballot}
keys=${BALLOT_KEYS:-./keys}
if [ -f "$keys/stack.env" ]; then
    set -a
    . "$keys/stack.env"
    set +a
fi

# The stack file with one of its services: docker leaves those that are not in it as they are.
only() {
    awk -v keep="$1:" '
        /^[a-z]/ { inside = ($1 == "services:"); wanted = 1 }
        inside && /^  [a-z]/ { wanted = ($1 == keep) }
        wanted
    ' swarm-stack.yml
}

# Newer docker commands say at length that they do not wait, unless told not to.
detach=$(docker stack deploy --help | grep -q -e --detach && echo --detach=true || true)

deploy() {
    # shellcheck disable=SC2086
    only "$1" | docker stack deploy $detach --resolve-image "${BALLOT_RESOLVE_IMAGE:-always}" \
        --compose-file - "$stack" >/dev/null
}

state() {
    docker service inspect --format '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' "$stack$1"
}

is_well() {
    docker service ls --filter "name=$stack$1" --format '{{.Name}} {{.Replicas}}' |
        grep -Eq "^$stack$1 (1/1|0/1 \(1/1 completed\))"
}

replace() {
    echo "$1"
    deploy "$1"
    sleep 3
    waited=0
    until is_well "_$1" && [ "$(state "_$1")" != updating ]; do
        case $(state "_$1") in
        rollback* | paused) break ;;
        esac
        waited=$((waited + 1))
        if [ "$waited" -gt 300 ]; then
            echo "$1 is not well after five minutes: nothing else was touched" >&2
            exit 1
        fi
        sleep 1
    done
    case $(state "_$1") in
    rollback* | paused)
        echo "$1 did not come up and was put back: nothing else was touched" >&2
        exit 1
        ;;
    esac
}

for node in 1 2 3; do
    replace "migrate$node"
    replace "postgres$node"
    replace "ledger$node"
done
replace redis
# One gateway a host: its own update_config replaces one at a time.
deploy gateway
echo "done"
