# The image `visits/web`: Apache, configured by puppetlabs-apache, with one CGI script that counts
# visits in the Redis that REDIS_HOST names.
#
# This runs inside a Docker build, where no init system runs: nothing here may start a service. The
# container starts Apache in the foreground (see visits.compose.yml).

# The package lists of the base image may be older than the archive.
exec { 'apt-get update':
  path => '/usr/bin:/bin',
}
Exec['apt-get update'] -> Package <| |>

package { 'python3-minimal':
  ensure => installed,
}

class { 'apache':
  default_vhost  => false,
  # CGI scripts need the process model without threads (apache::mod::cgi).
  mpm_module     => 'prefork',
  service_manage => false,
  # The container's own output, so that `docker logs` shows it.
  error_log      => '/dev/stderr',
}

# What the init script would make at each start.
file { ['/run/apache2', '/run/lock/apache2']:
  ensure  => directory,
  owner   => 'www-data',
  require => Class['apache'],
}

include apache::mod::cgi
include apache::mod::env

apache::vhost { 'visits':
  port            => 80,
  docroot         => '/srv/visits',
  # The same for this host's own logs.
  access_log_pipe => '|/bin/cat',
  error_log_file  => '/dev/stderr',
  directories     => [
    {
      path           => '/srv/visits',
      options        => ['ExecCGI'],
      addhandlers    => [{ handler => 'cgi-script', extensions => ['.py'] }],
      directoryindex => 'index.py',
    },
  ],
  custom_fragment => 'PassEnv REDIS_HOST',
}

file { '/srv/visits/index.py':
  mode    => '0755',
  content => @(PYTHON)
    #!/usr/bin/python3
    """Counts this visit in Redis and says how many there were."""

    import os
    import socket

    with socket.create_connection((os.environ["REDIS_HOST"], 6379), timeout=5) as redis:
        redis.sendall(b"INCR visits\r\n")
        # The protocol's integer reply: ":42\r\n".
        visits = int(redis.makefile().readline().removeprefix(":"))

    print("Content-Type: text/html; charset=utf-8")
    print("Cache-Control: no-store")
    print()
    print(
        "<!doctype html><html lang='en'><title>Visits</title>"
        f"<h1>Hello from Puppet</h1><p>Visits so far: {visits}</p></html>"
    )
    | PYTHON
}
