# What Crane has on the engine. Sourced, never run; needs engine.sh.
# shellcheck shell=bash

# The label on everything that Crane makes (src/model.rs, LABEL_INSTANCE).
LEFTOVERS_LABEL=eu.cloudopting.crane.instance

# leftovers: one line, "KIND ID NAME", for each container, network, volume and image of any Crane's,
# sorted.
leftovers() {
  local filter="label=$LEFTOVERS_LABEL"
  {
    docker container ls --all --no-trunc --filter "$filter" --format 'container {{.ID}} {{.Names}}' &&
      docker network ls --no-trunc --filter "$filter" --format 'network {{.ID}} {{.Name}}' &&
      docker volume ls --filter "$filter" --format 'volume {{.Name}}' &&
      docker image ls --all --no-trunc --filter "$filter" \
        --format 'image {{.ID}} {{.Repository}}:{{.Tag}}'
  } | sort
}
