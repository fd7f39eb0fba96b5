//! The parts that the rig does not have running: a `docker-registry` with a configuration of its
//! own, a token server for it, and web servers that are no registry.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use poem::{
    EndpointExt, IntoEndpoint, Response, Server, handler,
    http::{StatusCode, header},
    listener::TcpAcceptor,
    web::{Data, Json},
};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PASSWORD, USER};

/// A `docker-registry` on a free port of 127.0.0.1. It ends with this value.
pub(super) struct RegistryServer {
    child: Child,
    pub(super) address: String,
    _storage: TempDir,
}

impl RegistryServer {
    /// `more` is YAML at the top level of its configuration file.
    pub(super) fn start(more: &str) -> Self {
        let storage = tempfile::tempdir().unwrap();
        let config = storage.path().join("config.yml");
        let directory = storage.path().join("data");
        let yaml = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {directory:?}}}, delete: \
             {{enabled: false}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n{more}\n"
        );
        std::fs::write(&config, yaml).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is a part of the rig");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()))
            .and_then(|rest| Some(rest.split(['"', ',']).next()?.to_owned()))
            .expect("docker-registry says where it listens");
        // It blocks when nobody reads what it writes.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address, _storage: storage }
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `app` on a free port of 127.0.0.1 until the test's runtime ends, and says where.
pub(crate) async fn serve(app: impl IntoEndpoint<Endpoint: 'static> + Send + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(app));
    address
}

/// Issues tokens as Distribution's "Token Authentication Specification" describes them, signed
/// with a key of its own.
pub(super) struct TokenServer {
    key: KeyPair,
    pub(super) certificate: rcgen::Certificate,
}

pub(super) const ISSUER: &str = "crane-test";
pub(super) const SERVICE: &str = "crane-test-registry";

impl TokenServer {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        Self { key, certificate }
    }

    pub(super) async fn serve(self) -> String {
        serve(issue.data(std::sync::Arc::new(self))).await
    }

    fn sign(&self, access: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({
            "typ": "JWT", "alg": "RS256", "x5c": [BASE64_STANDARD.encode(self.certificate.der())],
        });
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": USER, "jti": "1",
            "iat": now, "nbf": now - 60, "exp": now + 300, "access": access,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a poem handler takes its extractors by value")]
#[handler]
fn issue(server: Data<&std::sync::Arc<TokenServer>>, request: &poem::Request) -> Response {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if request.header(header::AUTHORIZATION) != Some(&expected) {
        return StatusCode::UNAUTHORIZED.into();
    }
    let query = request.params::<Vec<(String, String)>>().unwrap();
    assert!(query.contains(&("service".into(), SERVICE.into())), "{query:?}");
    let access = query
        .iter()
        .filter(|(key, _)| key == "scope")
        .map(|(_, scope)| {
            let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else {
                panic!("scope {scope}")
            };
            json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()})
        })
        .collect::<Vec<_>>();
    poem::IntoResponse::into_response(Json(json!({"token": server.sign(&json!(access))})))
}
