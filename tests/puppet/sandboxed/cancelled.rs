//! Installations that are dropped, that take too long, or whose Crane was killed: their containers
//! end, and nothing of them is left.

use std::{fs, time::Duration};

use crane::{
    error::Error,
    model::Log,
    puppet::{self, Settings},
};
use tokio::net::TcpListener;

use super::{Case, entries, install};

/// A git server that takes connections and never says a word.
async fn silent_server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    (listener, url)
}

fn log() -> Log {
    // Nobody reads it.
    Log::new(tokio::sync::mpsc::channel(1).0)
}

#[tokio::test]
async fn the_next_installation_removes_what_a_dropped_one_left() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let (listener, url) = silent_server().await;
    let puppetfile = format!("mod 'x', git: '{url}', ref: 'main'\nmod 'puppetlabs/concat'");
    let sandbox = Case::new(home.path());
    let log = log();
    let install =
        puppet::install_by_r10k(&sandbox.settings, &puppetfile, &context, &sandbox.labels, &log);
    let mut install = Box::pin(install);
    let connection = tokio::select! {
        ended = &mut install => panic!("{ended:?}"),
        connection = listener.accept() => connection.unwrap(),
    };
    drop(install);
    // A killed Crane leaves its container as well, and its directory.
    assert!(sandbox.containers().contains("container crane-r10k-"), "{}", sandbox.containers());
    assert_eq!(entries(&context), Vec::<String>::new());
    fs::create_dir_all(context.join("modules.staging-0123/tree/modules/x")).unwrap();
    let (done, log) = sandbox.install(home.path(), "mod 'puppetlabs/concat', '7.3.1'").await;
    assert!(done.is_ok(), "{done:?}\n{log}");
    assert_eq!(entries(&context), ["modules"]);
    drop(connection);
}

#[tokio::test]
async fn an_installation_that_takes_too_long_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let mut sandbox = Case::new(home.path());
    let limit = Duration::from_secs(3);
    sandbox.settings = Settings { time_limit: limit, ..sandbox.settings };
    for text in ["loop {}", "$stdout.close; $stderr.close; sleep", "system('sleep 600')"] {
        let (result, _) = sandbox.install(home.path(), text).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert_eq!(error.to_string(), "r10k was not done after 3 s, and was ended");
    }
    assert_eq!(entries(&home.path().join("context")), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_without_r10k_is_named() {
    let home = tempfile::tempdir().unwrap();
    let mut sandbox = Case::new(home.path());
    let image = &mut sandbox.settings.r10k.as_mut().unwrap().image;
    *image = crate::support::rig("RIG_BASE");
    let (result, _) = sandbox.install(home.path(), "mod 'puppetlabs/concat', '7.3.1'").await;
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "puppet: there is no r10k in the image 'debian-puppet:bookworm'");

    assert!(puppet::ready(&sandbox.settings).await.is_ok());
    let image = &mut sandbox.settings.r10k.as_mut().unwrap().image;
    *image = "127.0.0.1:1/no/r10k:1".to_owned();
    let error = puppet::ready(&sandbox.settings).await.unwrap_err().to_string();
    assert!(error.starts_with("puppet: the image '127.0.0.1:1/no/r10k:1' (CRANE_R10K_"), "{error}");
    let (result, _) = sandbox.install(home.path(), "").await;
    assert!(result.unwrap_err().to_string().contains("127.0.0.1:1"));
    // One that works still does.
    assert!(install(home.path(), "").await.0.is_ok());
}
