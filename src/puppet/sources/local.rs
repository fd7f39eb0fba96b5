//! Modules that are in the context already: nobody touches them, so that the run takes them over
//! with the rest of the tree (`tree::finish`).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Cancelled, Fetched, Module, Order, Pin, Result, Scratch, Source};
use crate::puppet::puppetfile::Source as Declared;

pub(super) struct Local;

#[async_trait]
impl Source for Local {
    fn claims(&self, module: &Module) -> bool {
        matches!(module.source, Declared::Local)
    }

    async fn resolve(&self, _: &Order<'_>) -> Result<Pin> {
        Ok(Pin::Local)
    }

    async fn fetch(
        &self,
        _: &Order<'_>,
        _: &Pin,
        _: &Arc<Scratch>,
        _: &Cancelled,
    ) -> Result<Fetched> {
        Ok(Fetched::default())
    }
}
