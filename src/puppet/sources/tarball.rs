//! Modules that are archives at a URL, as r10k's `Module::Tarball` has them: the archive is the
//! module, without a directory around it.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::{
    Cancelled, Fault, Fetched, Module, Order, Pin, Result, Scratch, Source,
    archives::{self, Archive, Kind},
};
use crate::puppet::puppetfile::{Source as Declared, without_credentials};

pub(super) struct Tarball;

#[async_trait]
impl Source for Tarball {
    fn claims(&self, module: &Module) -> bool {
        matches!(module.source, Declared::Tarball(_))
    }

    async fn resolve(&self, order: &Order<'_>) -> Result<Pin> {
        let (url, expected) = declared(order)?;
        let sha256 = match expected {
            Some(sum) => sum.to_owned(),
            // What is at the URL can change, so that it is looked at each time.
            None => archives::download(order.native, &url, None).await?.sha256,
        };
        Ok(Pin::Tarball { url: without_credentials(url.as_str()), sha256 })
    }

    async fn fetch(
        &self,
        order: &Order<'_>,
        pin: &Pin,
        run: &Arc<Scratch>,
        cancelled: &Cancelled,
    ) -> Result<Fetched> {
        let (url, _) = declared(order)?;
        let Pin::Tarball { sha256, .. } = pin else {
            return Err(Fault::refused("the lock says that it is no tarball"));
        };
        let archive = match Archive::cached(order.native, sha256).await? {
            Some(archive) => archive,
            None => archives::download(order.native, &url, Some(sha256)).await?,
        };
        Ok(archives::unpack(order, &archive, Kind::Plain, run, cancelled).await?.into())
    }
}

fn declared<'a>(order: &Order<'a>) -> Result<(Url, Option<&'a str>)> {
    let Declared::Tarball(tarball) = &order.module.source else {
        return Err(Fault::refused("this module is no tarball"));
    };
    let url = Url::parse(tarball.url.value.as_str()).map_err(|error| {
        let url = without_credentials(tarball.url.value.as_str());
        Fault::refused(format!("'{url}' is no URL: {error}"))
    })?;
    Ok((url, tarball.sha256.as_deref()))
}
