//! The least that poem-openapi can do for `GET /builder/contexts/{token}`: the same document as
//! Crane's, from nowhere. `benches/run` starts it as `bare PORT` and measures Crane beside it.

use std::{error::Error, io};

use poem::{Route, Server, listener::TcpListener};
use poem_openapi::{Object, OpenApi, OpenApiService, param::Path, payload::Json};

#[derive(Object)]
struct Context {
    token: String,
    group: String,
    status: String,
    description: String,
    images: Vec<String>,
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/builder/contexts/:token", method = "get")]
    async fn get(&self, token: Path<String>) -> Json<Context> {
        Json(Context {
            images: vec![format!("{}-IMbench", token.0)],
            token: token.0,
            group: "default".into(),
            status: "finished".into(),
            description: "an empty context".into(),
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = || io::Error::other("usage: bare PORT; benches/run starts it");
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).ok_or_else(usage)?;
    let routes = Route::new().nest("/", OpenApiService::new(Api, "bare", "1"));
    Server::new(TcpListener::bind(("127.0.0.1", port))).run(routes).await?;
    Ok(())
}
