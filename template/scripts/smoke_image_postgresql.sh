# shellcheck shell=sh disable=SC2034,SC2154
# Read by scripts/smoke-image: the image has to refuse to start without a database, to bring an empty one up to date,
# and to know of nothing that a migration has left out.

run --detach "$image" >/dev/null
began=$(date +%s)
while [ "$(inspect '{{.State.Status}}')" = running ]; do
    [ $(($(date +%s) - began)) -lt "$start_seconds" ] || fail "without DATABASE_URL it runs all the same"
    sleep 0.2
done
[ "$(inspect '{{.State.ExitCode}}')" != 0 ] || fail "without DATABASE_URL it ends as if nothing were wrong"
"$docker" logs "$name" 2>&1 | grep -q 'DATABASE_URL: missing' || fail "it ends without saying what is missing"
remove "$name"
ok "without DATABASE_URL it refuses to start, and says so"

# Gone with its container: nothing is written to a disk.
"$docker" run --detach --name "$name-needed" --network "$name" --network-alias database \
    --tmpfs /var/lib/postgresql/data --env POSTGRES_PASSWORD=smoke postgres:17 >/dev/null ||
    fail "a database cannot be started from postgres:17"
# Over TCP, where the server that prepares the first start does not listen.
began=$(date +%s)
until "$docker" exec "$name-needed" pg_isready --quiet --host 127.0.0.1; do
    [ $(($(date +%s) - began)) -lt "$start_seconds" ] || {
        "$docker" logs --tail 20 "$name-needed" >&2
        fail "the database did not start within $start_seconds s"
    }
    sleep 0.2
done
options="--env DATABASE_URL=postgresql://postgres:smoke@database:5432/postgres"

once alembic upgrade head
once alembic check
ok "an empty database is brought up to date, and the models ask for no more"
