//! What runs of a composition.

use super::{in_parallel, label, present::Container};
use crate::{
    deploy::{
        ServiceStatus,
        compose::{Composition, Restart},
    },
    engine::{
        Engine,
        api::{ContainerInspectResponse, HealthStatusEnum, PortMap},
    },
    error::Result,
};

/// See [`crate::deploy::status`].
pub(in crate::deploy) async fn status(
    engine: &Engine,
    token: &str,
    composition: &Composition,
) -> Result<Vec<ServiceStatus>> {
    let present = engine.containers_labelled(&label(token)).await?;
    let containers: Vec<Container> = present.into_iter().map(Container::from).collect();
    let looks = composition.services.iter().map(|(name, service)| {
        let container = containers.iter().find(|container| container.service == *name);
        async move {
            let Some(container) = container else { return Ok(absent(name)) };
            Ok(match engine.container(&container.id).await? {
                Some(seen) => observed(name, &container.name, service.restart, seen),
                None => absent(name),
            })
        }
    });
    let mut services = in_parallel(looks).await.into_iter().collect::<Result<Vec<_>>>()?;
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(services)
}

fn absent(name: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        container: None,
        state: "absent".to_owned(),
        health: None,
        exit_code: None,
        image: None,
        ports: Vec::new(),
        runs_as_wanted: false,
    }
}

fn observed(
    name: &str,
    container: &str,
    restart: Restart,
    seen: ContainerInspectResponse,
) -> ServiceStatus {
    let state = seen.state.unwrap_or_default();
    let health = state
        .health
        .and_then(|health| health.status)
        .filter(|health| !matches!(health, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY));
    let running = state.running.unwrap_or_default() && !state.restarting.unwrap_or_default();
    let exit_code = (!running).then_some(state.exit_code).flatten();
    // A program that ends well has done its work, unless it is to run for ever.
    let done = matches!(restart, Restart::No | Restart::OnFailure(_)) && exit_code == Some(0);
    ServiceStatus {
        name: name.to_owned(),
        container: Some(container.to_owned()),
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        runs_as_wanted: (running && health != Some(HealthStatusEnum::UNHEALTHY)) || done,
        health: health.map(|health| health.to_string()),
        exit_code,
        image: seen.config.and_then(|config| config.image),
        ports: seen
            .network_settings
            .and_then(|settings| settings.ports)
            .map(|ports| published(&ports))
            .unwrap_or_default(),
    }
}

/// As `docker ps` writes them: `127.0.0.1:8080->80/tcp`, or `9000/tcp` where the host has none.
fn published(ports: &PortMap) -> Vec<String> {
    let mut all = Vec::new();
    for (target, bindings) in ports {
        let bindings = bindings.as_deref().unwrap_or_default();
        if bindings.is_empty() {
            all.push(target.clone());
        }
        for binding in bindings {
            let address = binding.host_ip.as_deref().unwrap_or_default();
            let port = binding.host_port.as_deref().unwrap_or_default();
            all.push(match address.contains(':') {
                true => format!("[{address}]:{port}->{target}"),
                false => format!("{address}:{port}->{target}"),
            });
        }
    }
    all.sort();
    all
}
