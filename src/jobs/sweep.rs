//! Finding what a process that was killed left behind, by label and by record.

use std::sync::Arc;

use tracing::{info, warn};

use super::{
    Jobs, clusters,
    records::{Kind, Resource},
    trees,
};
use crate::{
    deploy,
    engine::Engine,
    error::{Result, chain},
    model::{LABEL_INSTANCE, LABEL_RESOURCE, Log},
};

impl Jobs {
    /// Removes what carries this Crane's label and belongs to no resource, from the disk and from
    /// the engines that answer. What belongs to a resource that is not finished is for its job.
    pub(super) async fn sweep(self: &Arc<Self>) {
        if let Err(error) = trees::sweep(&self.parts).await {
            warn!(error = chain(&error), "what is left on the disk cannot be removed now");
        }
        let mut engines = vec![("the engine that builds".to_owned(), self.parts.engine.clone())];
        match clusters::list(&self.parts).await {
            Ok(records) => {
                for record in records {
                    let token = record.detail.token;
                    if let Ok(engine) = clusters::engine(&self.parts, Some(&token)).await {
                        engines.push((token, engine));
                    }
                }
            }
            Err(error) => warn!(error = chain(&error), "the clusters cannot be listed now"),
        }
        for (name, engine) in engines {
            if let Err(error) = self.sweep_engine(&engine).await {
                warn!(engine = name, error = chain(&error), "what is left there stays for now");
            }
        }
    }

    async fn sweep_engine(&self, engine: &Engine) -> Result<()> {
        clusters::within_limit(engine.check()).await?;
        let instance = format!("{LABEL_INSTANCE}={}", self.parts.instance);
        // First what there is, then whose it is: a resource is stored before its things are made.
        for token in deploy::tokens(engine, &instance).await? {
            // A context's container is for its job to remove.
            let theirs = [Kind::Composition, Kind::Context];
            let mut exists = false;
            for kind in theirs {
                exists |= self.exists(kind, &token).await?;
            }
            if !exists {
                info!(token, "removing what is left of a resource that is no more");
                // Nobody reads this log, and a log without a reader drops its lines.
                let log = Log::new(tokio::sync::mpsc::channel(1).0);
                deploy::down(engine, &token, true, &log).await?;
            }
        }
        for image in engine.images_labelled(std::slice::from_ref(&instance)).await? {
            let Some(id) = image.labels.get(LABEL_RESOURCE) else { continue };
            if !self.exists(Kind::Image, id).await? && !self.exists(Kind::Base, id).await? {
                info!(resource = id, image = image.id, "removing an image that is nobody's");
                let labels = [instance.clone(), format!("{LABEL_RESOURCE}={id}")];
                for left in engine.remove_images_labelled(&labels).await? {
                    warn!(left);
                }
            }
        }
        Ok(())
    }

    async fn exists(&self, kind: Kind, id: &str) -> Result<bool> {
        let resource = Resource::new(kind, id);
        Ok(self.parts.store.get(&resource.key()).await?.is_some())
    }
}
