//! Which failures of r10k, and of the git that it runs, may be gone the next time.

use crate::error::Retry;

/// A network or a server that is away for now: the words of git, curl and ssh, then of Ruby's
/// `Net::HTTP`, of which r10k makes its requests to the Forge.
const PASSING: [&str; 25] = [
    "Could not resolve host",
    "emporary failure in name resolution",
    "Failed to connect to ",
    "Couldn't connect to server",
    "Could not connect to server",
    "onnection refused",
    "onnection reset",
    "onnection timed out",
    "onnection closed by ",
    "peration timed out",
    "peration too slow",
    "early EOF",
    "unexpected disconnect",
    "transfer closed with",
    "Empty reply from server",
    "Recv failure",
    "remote end hung up unexpectedly",
    "No route to host",
    "etwork is unreachable",
    "Failed to open TCP connection",
    "Net::OpenTimeout",
    "Net::ReadTimeout",
    "execution expired",
    "end of file reached",
    "Broken pipe",
];

/// What somebody has to do something about, whatever else is said beside it.
const LASTING: [&str; 6] = [
    "certificate",
    "Host key verification failed",
    "Permission denied",
    "Authentication failed",
    "could not read Username",
    "does not appear to be a git repository",
];

/// What stands before the status of an HTTP answer: git's words, those of its curl, r10k's for the
/// Forge and for tarballs, those of r10k's HTTP library.
const BEFORE_STATUS: [&str; 4] =
    ["returned error: ", "RPC failed; HTTP ", "nexpected response code ", "responded with status "];

/// Whether the lines of one error tell of something that passes.
pub(super) fn says_passing(error: &[&str]) -> bool {
    // The command and what it was given: words of the user's.
    let told = || error.iter().filter(|line| !line.starts_with("Command: "));
    !told().any(|line| LASTING.iter().any(|words| line.contains(words)))
        && told().any(|line| {
            PASSING.iter().any(|words| line.contains(words))
                || BEFORE_STATUS.iter().any(|before| {
                    let status = line.split_once(before).and_then(|(_, rest)| rest.get(..3));
                    status.is_some_and(|code| code.parse().is_ok_and(Retry::may_help_after))
                })
        })
}

#[cfg(test)]
mod tests {
    use super::says_passing;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for passing in [
            "fatal: unable to access 'http://h/x.git/': Could not resolve host: h",
            "fatal: unable to access 'http://h/x.git/': Failed to connect to h port 1 after 0 ms",
            "fatal: unable to access 'http://h/x.git/': The requested URL returned error: 503",
            "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502",
            "fatal: early EOF",
            "ssh: connect to host h port 22: Connection timed out",
            "Unexpected response code 429: #<Net::HTTPTooManyRequests:0x00007f>",
            "Failed to open TCP connection to h:1 (Connection refused - connect(2) for \"h\" port 1)",
        ] {
            assert!(
                says_passing(&["Command exited with non-zero exit code:", passing]),
                "{passing}"
            );
        }
        for lasting in [
            "fatal: repository 'http://h/Connection-reset.git/' not found",
            "fatal: unable to access 'http://h/x.git/': The requested URL returned error: 403",
            "fatal: unable to access 'https://h/': server certificate verification failed",
            "Command: git clone --mirror 'early EOF'",
            "Unexpected response code 404: #<Net::HTTPNotFound:0x00007f>",
            "Could not resolve desired ref 'x' and no default provided",
            "",
        ] {
            assert!(!says_passing(&[lasting]), "{lasting}");
        }
        let ssh = ["Host key verification failed.", "fatal: the remote end hung up unexpectedly"];
        assert!(!says_passing(&ssh));
    }
}
