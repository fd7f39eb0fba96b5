//! The only room that names poem: routes, forms, answers, errors, and Swagger UI.

mod bases;
mod cluster;
mod composer;
mod connections;
mod contexts;
mod document;
mod error;
mod events;
mod extra;
mod forms;
mod frame;
mod health;
mod images;
mod live;
mod logs;
mod methods;
mod modules;
mod pages;
mod sites;
mod slashes;
mod ui;
mod views;

use std::{sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt, Response, Server, get, middleware::CatchPanic};
use poem_openapi::{OpenApi, OpenApiService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::connections::{Connections, Listener};
use crate::{
    crane::Crane,
    error::{Error, Result},
};

pub use document::document;

/// How long requests under way may take to end when Crane is told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, poem_openapi::Tags)]
enum Tags {
    /// Contexts, base images and images.
    Builder,
    /// Machines that compositions run on.
    Cluster,
    /// Compose files brought up.
    Composer,
    /// Crane itself.
    Extra,
}

fn operations() -> OpenApiService<impl OpenApi + 'static, ()> {
    let operations = (
        contexts::ContextsApi,
        bases::BasesApi,
        images::ImagesApi,
        cluster::ClusterApi,
        composer::ComposerApi,
        extra::ExtraApi,
        events::EventsApi,
        health::HealthApi,
    );
    OpenApiService::new(operations, "Crane", env!("CARGO_PKG_VERSION"))
}

/// Every route of Crane's.
///
/// `closing` ends the answers that would go on for ever.
pub fn app(
    crane: &Crane,
    closing: CancellationToken,
) -> impl Endpoint<Output = Response> + 'static {
    app_on(crane, closing, Connections::default())
}

fn app_on(
    crane: &Crane,
    closing: CancellationToken,
    connections: Connections,
) -> impl Endpoint<Output = Response> + 'static {
    let document = document();
    let methods = Arc::new(methods::Methods::of(&document));
    let pages = ui::routes()
        .at("/openapi.json", get(pages::document).data(pages::Document(document.to_string())));
    let operations = operations()
        .data(Arc::clone(&crane.jobs))
        .data(live::Live::new(closing, connections))
        .data(logs::Rendered::default());
    let routes = pages::Pages { pages, operations };
    frame::Frame {
        inner: routes.with(CatchPanic::new()).map_to_response(),
        api_token: crane.api_token.clone(),
        local_only: crane.local_only,
        methods,
    }
}

/// Serves until `shutdown` is ready, then lets requests and jobs come to an end.
pub async fn serve(
    listener: TcpListener,
    crane: Arc<Crane>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    crane.jobs.start().await?;
    let connections = Connections::default();
    let acceptor = Listener::new(listener, connections.clone()).map_err(Error::internal)?;
    let closing = CancellationToken::new();
    let app = app_on(&crane, closing.clone(), connections);
    let shutdown = async move {
        shutdown.await;
        closing.cancel();
    };
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(app, shutdown, Some(SHUTDOWN_GRACE))
        .await
        .map_err(Error::internal)?;
    crane.jobs.shut_down(SHUTDOWN_GRACE).await;
    Ok(())
}
