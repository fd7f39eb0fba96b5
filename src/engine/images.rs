//! Stands in until the engine branch is merged.
use bollard::{
    auth::DockerCredentials, errors::Error as Cause, query_parameters::CreateImageOptionsBuilder,
};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};

use super::{Engine, api, failure};
use crate::{
    error::Result,
    model::{Channel, Log},
};

#[derive(Debug, Clone)]
pub struct Login {
    pub host: String,
    pub username: String,
    pub password: SecretString,
}

impl Engine {
    pub async fn image(&self, reference: &str) -> Result<Option<api::ImageInspect>> {
        match self.docker().await?.inspect_image(reference).await {
            Ok(image) => Ok(Some(image)),
            Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }
    pub async fn pull_image(
        &self,
        reference: &str,
        login: Option<&Login>,
        channel: Channel,
        log: &Log,
    ) -> Result<()> {
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let c = login.map(|l| DockerCredentials {
            username: Some(l.username.clone()),
            password: Some(l.password.expose_secret().to_owned()),
            serveraddress: Some(l.host.clone()),
            ..Default::default()
        });
        let mut s = self.docker().await?.create_image(Some(options), None, c);
        while let Some(i) = s.next().await {
            let i = i.map_err(|e| failure(&e))?;
            if let Some(e) = i.error_detail {
                return Err(crate::error::Error::failed(e.message.unwrap_or_default()));
            }
            log.write(channel, i.status.unwrap_or_default()).await;
        }
        Ok(())
    }
}
