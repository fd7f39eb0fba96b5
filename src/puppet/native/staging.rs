//! Where modules stand until all of them are there.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        puppetfile::{Puppetfile, STAGING_PREFIX},
        scratch::Scratch,
        tree,
    },
    blocking,
};
use crate::error::Result;

/// An empty tree for the modules. Threads that write in it hold it too, so that it is removed when
/// the last of them has ended.
pub(in super::super) async fn staging(
    puppetfile: &Puppetfile,
    parent: PathBuf,
) -> Result<Arc<Scratch>> {
    let copy = puppetfile.clone();
    blocking(move || {
        let scratch = Scratch::make(&parent, STAGING_PREFIX)?;
        tree::prepare(&copy, &scratch.path().join("tree"))?;
        std::fs::create_dir(scratch.path().join("unpacked"))?;
        Ok(Arc::new(scratch))
    })
    .await
}
