# Docker registries (package docker-registry). Sourced, never run; needs say.sh, process.sh and
# ports.sh. The caller sets STATE and INSTALL.
# shellcheck shell=bash

# shellcheck disable=SC2034 # the scripts that source this install them
REGISTRY_PACKAGES=(docker-registry curl)
# shellcheck disable=SC2034
REGISTRY_AUTH_PACKAGES=(apache2-utils openssl)

# registry_up NAME PORT [SETTING=VALUE...]: starts a registry on PORT of the loopback interface, or on
# the next free port. Settings are the registry's own environment variables, which say the same as
# its configuration file without any quoting (docker-registry: "Override specific configuration
# options").
registry_up() {
  local name=$1 port
  port=$(port_choose "$1" "$2")
  shift 2
  mkdir -p -- "$STATE/$name"
  process_start "$name" env "REGISTRY_HTTP_ADDR=127.0.0.1:$port" \
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$STATE/$name" "$@" \
    docker-registry serve "$INSTALL/registry.yml"
  process_wait "$name" 20 port_taken "$port"
}

# registry_address NAME: host:port of a registry that runs.
registry_address() {
  printf '127.0.0.1:%s\n' "$(<"$STATE/run/$1.port")"
}

# registry_down NAME: stops it and removes its images.
registry_down() {
  process_stop "$1"
  rm -rf -- "${STATE:?}/$1"
}

# registry_password FILE USER PASSWORD: writes an htpasswd file (bcrypt, the only kind that the
# registry reads).
registry_password() {
  printf '%s\n' "$3" | htpasswd -i -n -B "$2" >"$1"
}

# registry_certificates DIR: makes a private CA (ca.pem) and a certificate of its for the loopback
# interface (cert.pem, key.pem), unless they are there.
registry_certificates() {
  local dir=$1
  [[ ! -s $dir/cert.pem ]] || return 0
  mkdir -p -- "$dir"
  {
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Private CA of the rig' \
      -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
      -keyout "$dir/ca-key.pem" -out "$dir/ca.pem"
    openssl req -newkey rsa:2048 -nodes -subj '/CN=registry' \
      -keyout "$dir/key.pem" -out "$dir/request.pem"
    openssl x509 -req -in "$dir/request.pem" -days 30 -CAcreateserial \
      -CA "$dir/ca.pem" -CAkey "$dir/ca-key.pem" -out "$dir/cert.pem" \
      -extfile <(printf '%s\n' 'subjectAltName=IP:127.0.0.1,DNS:localhost' \
        'basicConstraints=CA:FALSE' 'extendedKeyUsage=serverAuth')
  } 2>"$dir/openssl.log"
}
