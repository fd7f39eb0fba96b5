//! Networks on the engine.

use std::collections::HashMap;

use bollard::{errors::Error as Cause, query_parameters::ListNetworksOptionsBuilder};

use super::{Engine, api, failure};
use crate::error::Result;

impl Engine {
    /// Networks that carry a label, given as `key=value`.
    pub async fn networks_labelled(&self, label: &str) -> Result<Vec<api::Network>> {
        self.networks("label", label).await
    }

    /// The network of that name; `None` where there is none.
    pub async fn network(&self, name: &str) -> Result<Option<api::Network>> {
        // The engine's filter is looser than equality.
        let networks = self.networks("name", name).await?;
        Ok(networks.into_iter().find(|network| network.name.as_deref() == Some(name)))
    }

    async fn networks(&self, filter: &str, value: &str) -> Result<Vec<api::Network>> {
        let filters = HashMap::from([(filter, vec![value])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        self.docker().await?.list_networks(Some(options)).await.map_err(|error| failure(&error))
    }

    /// The engine lets two networks have one name, so look for the name before.
    pub async fn create_network(&self, body: api::NetworkCreateRequest) -> Result<()> {
        let docker = self.docker().await?;
        docker.create_network(body).await.map(drop).map_err(|error| failure(&error))
    }

    pub async fn connect_network(
        &self,
        network: &str,
        container: &str,
        endpoint: api::EndpointSettings,
    ) -> Result<()> {
        let body = api::NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(endpoint),
        };
        let docker = self.docker().await?;
        docker.connect_network(network, body).await.map_err(|error| failure(&error))
    }

    /// Removes a network by its id. That it is gone already is no error.
    pub async fn remove_network(&self, id: &str) -> Result<()> {
        match self.docker().await?.remove_network(id).await {
            Ok(()) | Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}
