# The image `visits/redis`: Redis from Debian's package, set up to serve the other containers of its
# composition. Built by contexts/visits/redis/Dockerfile, which also starts it.

# The package lists of the base image may be older than the archive.
exec { 'apt-get update':
  path => '/usr/bin:/bin',
}
-> package { 'redis-server':
  ensure => installed,
}

# Lines of the packaged file that are right for a machine of its own and wrong for a container.
# They are exactly one each, so the rest of the file stays as Debian wrote it.
$settings = {
  # Only containers on the composition's network reach it; nothing publishes its port.
  'bind'           => '* -::*',
  'protected-mode' => 'no',
  'daemonize'      => 'no',
  'pidfile'        => '""',
  # Standard output, so that `docker logs` shows it.
  'logfile'        => '""',
  # Appends every write, so that a restart keeps the count.
  'appendonly'     => 'yes',
}

$settings.each |String $name, String $value| {
  file_line { "redis: ${name}":
    path    => '/etc/redis/redis.conf',
    line    => "${name} ${value}",
    match   => "^${name} ",
    require => Package['redis-server'],
  }
}
