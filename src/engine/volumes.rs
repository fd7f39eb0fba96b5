//! Volumes on the engine.

use std::collections::HashMap;

use bollard::{
    errors::Error as Cause,
    query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions},
};

use super::{Engine, api, failure};
use crate::error::Result;

impl Engine {
    /// Volumes that carry a label, given as `key=value`.
    pub async fn volumes_labelled(&self, label: &str) -> Result<Vec<api::Volume>> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let docker = self.docker().await?;
        let list = docker.list_volumes(Some(options)).await.map_err(|error| failure(&error))?;
        Ok(list.volumes.unwrap_or_default())
    }

    /// The volume of that name; `None` where there is none.
    pub async fn volume(&self, name: &str) -> Result<Option<api::Volume>> {
        match self.docker().await?.inspect_volume(name).await {
            Ok(volume) => Ok(Some(volume)),
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Where there is a volume of that name already, the engine takes it instead of making one, so
    /// look for the name before.
    pub async fn create_volume(&self, body: api::VolumeCreateRequest) -> Result<()> {
        let docker = self.docker().await?;
        docker.create_volume(body).await.map(drop).map_err(|error| failure(&error))
    }

    /// Removes a volume with all that is in it. That it is gone already is no error.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        match self.docker().await?.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Ok(()) | Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}
