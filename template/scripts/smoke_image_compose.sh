# shellcheck shell=sh disable=SC2154
# Read by scripts/smoke-image: the files that start the image have to be understood.

if "$docker" compose version >/dev/null 2>&1; then
    for files in '-f compose.yaml' '-f compose.yaml -f compose.dev.yaml'; do
        # shellcheck disable=SC2086
        "$docker" compose $files config --quiet || fail "docker compose does not understand $files"
    done
    ok "compose.yaml and compose.dev.yaml are understood"
else
    echo "--  compose.yaml is not looked at: there is no docker compose"
fi
