//! The session that goes with a build: gRPC services of ours, which BuildKit calls over a
//! connection that was opened for them (Engine API: `POST /session`; BuildKit, `session/grpc.go`).
//!
//! bollard has one too, but leaves its connection open for ever and cannot serve files.

use std::convert::Infallible;

use bollard::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    moby::filesync::v1::{
        CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
        GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
        VerifyTokenAuthorityResponse,
        auth_server::{Auth, AuthServer},
        file_sync_server::FileSyncServer,
    },
};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret;
use tonic::Status;
use tower_service::Service;

use super::{Build, filesync::Files};
use crate::{
    engine::{Engine, Login},
    error::{Error, Result, chain},
};

const ID: HeaderName = HeaderName::from_static("x-docker-expose-session-uuid");
const KEY: HeaderName = HeaderName::from_static("x-docker-expose-session-sharedkey");
const METHOD: HeaderName = HeaderName::from_static("x-docker-expose-session-grpc-method");

/// What BuildKit may call; it does not ask for anything else.
const METHODS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
];

/// A session that the engine knows and that is not served yet. Dropping it, or what serves it,
/// ends it.
pub(super) struct Session {
    pub(super) id: String,
    connection: Upgraded,
    health: HealthServer<Alive>,
    auth: AuthServer<Logins>,
    files: FileSyncServer<Files>,
}

impl Session {
    pub(super) async fn open(engine: &Engine, build: &Build) -> Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let value = |text: &str| HeaderValue::try_from(text).map_err(Error::internal);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("h2c"));
        headers.insert(ID, value(&id)?);
        headers.insert(KEY, value(&build.context_key)?);
        for method in METHODS {
            headers.append(METHOD, HeaderValue::from_static(method));
        }
        let path = format!("{}/session", engine.agreement().await?.prefix);
        let none = Either::Left(Full::default());
        let answer = engine.transport.request(Method::POST, &path, headers, none).await?;
        let connection = hyper::upgrade::on(answer)
            .await
            .map_err(|error| Error::passing("engine", chain(&error), None))?;
        Ok(Self {
            id,
            connection,
            health: HealthServer::new(Alive),
            auth: AuthServer::new(Logins(build.login.clone())),
            files: FileSyncServer::new(Files::new(build)?),
        })
    }

    /// Answers calls until the engine closes the connection.
    pub(super) async fn serve(self) {
        let Self { connection, health, auth, files, .. } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let (mut health, mut auth, mut files) = (health.clone(), auth.clone(), files.clone());
            async move {
                let path = request.uri().path();
                if path.starts_with("/grpc.health.v1.Health/") {
                    health.call(request).await
                } else if path.starts_with("/moby.filesync.v1.Auth/") {
                    auth.call(request).await
                } else if path.starts_with("/moby.filesync.v1.FileSync/") {
                    files.call(request).await
                } else {
                    Ok::<Response<_>, Infallible>(Status::unimplemented("").into_http())
                }
            }
        });
        let server =
            http2::Builder::new(TokioExecutor::new()).serve_connection(connection, service);
        if let Err(error) = server.await {
            tracing::debug!(error = chain(&error), "the session of a build ended");
        }
    }
}

/// BuildKit asks every few seconds and ends a session that does not answer.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let status = ServingStatus::Serving.into();
        Ok(tonic::Response::new(HealthCheckResponse { status }))
    }

    type WatchStream = stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("BuildKit uses Check"))
    }

    async fn list(
        &self,
        _: tonic::Request<HealthListRequest>,
    ) -> Result<tonic::Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("BuildKit uses Check"))
    }
}

struct Logins(Option<Login>);

/// Only the first is needed: told that the others are not there, BuildKit uses the credentials to
/// get tokens itself.
#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: tonic::Request<CredentialsRequest>,
    ) -> Result<tonic::Response<CredentialsResponse>, Status> {
        let login = self.0.as_ref().filter(|login| login.host == request.get_ref().host);
        let answer = login.map_or_else(CredentialsResponse::default, |login| CredentialsResponse {
            username: login.username.clone(),
            secret: login.password.expose_secret().to_owned(),
        });
        Ok(tonic::Response::new(answer))
    }

    async fn fetch_token(
        &self,
        _: tonic::Request<FetchTokenRequest>,
    ) -> Result<tonic::Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("use Credentials"))
    }

    async fn get_token_authority(
        &self,
        _: tonic::Request<GetTokenAuthorityRequest>,
    ) -> Result<tonic::Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("use Credentials"))
    }

    async fn verify_token_authority(
        &self,
        _: tonic::Request<VerifyTokenAuthorityRequest>,
    ) -> Result<tonic::Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("use Credentials"))
    }
}
