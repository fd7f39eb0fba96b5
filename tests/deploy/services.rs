//! What the tests' services do. Each ends at once when it is told to.

/// Runs until it is stopped.
pub(super) const IDLE: &str = r#"["perl", "-e", "$$SIG{TERM} = sub { exit }; sleep"]"#;

/// Answers `hello` to everybody who connects to port 7000.
pub(super) const SERVE: &str = r#"["perl", "-MIO::Socket::INET", "-e", "$$SIG{TERM} = sub { exit }; my $$s = IO::Socket::INET->new(LocalPort => 7000, Listen => 9, ReuseAddr => 1) or die; while (my $$c = $$s->accept) { print $$c qq(hello\n); close $$c }"]"#;

/// Ends well if all the hosts of its environment's `HOSTS` answer `hello`.
pub(super) const CALL: &str = r#"["bash", "-c", "for host in $$HOSTS; do for try in 1 2 3 4 5 6 7 8 9; do answer=; exec 3<>/dev/tcp/$$host/7000 && read -r answer <&3 && break; sleep 0.1; done; [ \"$$answer\" = hello ] || { echo \"no answer from $$host\"; exit 1; }; done"]"#;
