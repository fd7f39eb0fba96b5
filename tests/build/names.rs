//! Names of images, on the engine and in the registry.

use crane::{
    build,
    error::Error,
    registry::{Credentials, Registry},
};

use super::{Yard, docker, log, only};

fn dockerfile(content: &str) -> super::Source {
    only(&format!("FROM scratch\nENV IT={content}\nCOPY images /\n"))
}

#[tokio::test]
async fn the_registry_has_what_the_answer_says() {
    let yard = Yard::new("served");
    let built = yard.built(&yard.request("web", dockerfile("1"))).await;
    let registry = yard.registry.as_ref().unwrap();
    let reference = format!("{}:latest", registry.reference(&yard.tag("web")));
    assert_eq!(built.reference.as_ref(), Some(&reference));
    assert_eq!(registry.digest(&yard.tag("web"), "latest").await.unwrap(), built.digest);
    for name in [format!("{}:latest", yard.tag("web")), reference] {
        assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &name]), built.image_id);
    }
    yard.remove("web", built.digest.as_deref()).await;
    assert_eq!(registry.digest(&yard.tag("web"), "latest").await.unwrap(), None);
    yard.remove("web", built.digest.as_deref()).await;
    yard.is_clean();
}

#[tokio::test]
async fn a_newer_image_takes_the_name_and_the_older_one_goes() {
    let yard = Yard::new("newer");
    let older = yard.built(&yard.request("web", dockerfile("1"))).await;
    // A build that fails takes nothing away.
    yard.failed(&yard.request("web", only("FROM scratch\nCOPY nothing /\n"))).await;
    let name = format!("{}:latest", yard.tag("web"));
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &name]), older.image_id);
    let newer = yard.built(&yard.request("web", dockerfile("2"))).await;
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &name]), newer.image_id);
    assert!(yard.engine.image(&older.image_id).await.unwrap().is_none());
    // Its digest is not in the registry under this name any more, so nothing is deleted there.
    yard.remove("web", older.digest.as_deref()).await;
    let registry = yard.registry.as_ref().unwrap();
    assert_eq!(registry.digest(&yard.tag("web"), "latest").await.unwrap(), newer.digest);
    yard.remove("web", newer.digest.as_deref()).await;
    yard.is_clean();
}

/// The ping and the lookups need no right to push, so this is only found at the end.
#[tokio::test]
async fn a_push_that_fails_gives_the_names_back() {
    let mut yard = Yard::new("refused");
    yard.registry = None;
    let older = yard.built(&yard.request("web", dockerfile("1"))).await;
    let password = "secret-of-the-rig".to_owned().into();
    let credentials = Some(Credentials { username: "crane".into(), password });
    // A name that the engine knows under another user, so that only the engine is refused.
    let location = format!("{}/{}", crate::support::rig("RIG_REGISTRY_AUTH"), yard.name);
    let registry = Registry::open(&location, credentials, None).unwrap();
    let engine = crane::engine::connect(&crane::engine::Endpoint {
        url: format!("tcp://{}", without_passwords().await),
        tls: None,
    })
    .unwrap();
    let (sink, _lines) = log();
    let request = yard.request("web", dockerfile("2"));
    let error = build::image(&engine, Some(&registry), &request, &sink).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let name = format!("{}:latest", yard.tag("web"));
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &name]), older.image_id);
    let label = format!("label=eu.cloudopting.crane.instance={}", yard.name);
    assert_eq!(docker(&["images", "--all", "--quiet", "--filter", &label]).lines().count(), 1);
    yard.remove("web", None).await;
    yard.is_clean();
}

/// The rig's engine, which never learns of the credentials that it is given.
async fn without_passwords() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let url = crate::support::rig("RIG_ENGINE");
            let socket = url.strip_prefix("unix://").unwrap().to_owned();
            tokio::spawn(async move {
                let mut engine = tokio::net::UnixStream::connect(socket).await.unwrap();
                let mut head = vec![0; 16 << 10];
                let length = client.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let head = head.replace("x-registry-auth", "x-registry-lost");
                engine.write_all(head.as_bytes()).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut engine).await;
            });
        }
    });
    address
}
