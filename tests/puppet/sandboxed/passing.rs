//! Servers that are away or ill for now, and what is told of them.

use crane::error::Error;
use poem::{Route, endpoint::make_sync, http::StatusCode};

use super::Case;
use crate::registry::server::serve;

#[tokio::test]
async fn what_may_pass_is_told_from_what_does_not() {
    let answering = async |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        format!("http://{}", serve(Route::new().at("/*", make_sync(move |_| status))).await)
    };
    let (ill, busy, closed) = (answering(503).await, answering(429).await, answering(403).await);
    let nobody = "http://127.0.0.1:1".to_owned();
    for (server, passes) in [(ill, true), (busy, true), (nobody, true), (closed, false)] {
        for puppetfile in [
            "mod 'puppetlabs/stdlib', '8.5.0'".to_owned(),
            format!("mod 'stdlib', git: '{server}/stdlib.git', tag: 'v8.5.0'"),
            format!("mod 'stdlib', type: 'tarball', source: '{server}/stdlib.tar.gz'"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let mut sandbox = Case::new(home.path());
            sandbox.settings.forge = Some(server.clone());
            let error = sandbox.install(home.path(), &puppetfile).await.0.unwrap_err();
            assert!(matches!(error, Error::Failed { .. }), "{error:?}");
            assert_eq!(error.retry().is_some(), passes, "{puppetfile}: {error:?}");
        }
    }
}
