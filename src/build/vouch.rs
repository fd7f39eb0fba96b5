//! Whether the results of steps that a builder took from its cache are known to be good.
//!
//! A run of Puppet that failed without an exit code that says so is as good as any other to the
//! builder's cache. When such a step comes from there, what it printed is not known any more. But
//! where an image that has a name of Crane's contains the same result, that was seen to be good
//! when the image was built.

use super::labels::LABEL_VERSION;
use crate::{
    engine::{Engine, Step, api::ImageHistoryResponseItem},
    error::Result,
};

/// Whether another image of Crane's has the results of all these steps, which are in `image`.
pub(super) async fn vouched(engine: &Engine, image: &str, steps: &[Step]) -> Result<bool> {
    let Some(known) = up_to_steps(engine.image_history(image).await?, steps) else {
        return Ok(false);
    };
    for other in engine.images_labelled(&[LABEL_VERSION.to_owned()]).await? {
        // Without a name, its own build is still under way.
        let is_named = other.repo_tags.iter().any(|tag| tag != "<none>:<none>");
        if other.id != image && is_named {
            let mut history = engine.image_history(&other.id).await?;
            history.reverse();
            if history.len() >= known.len() && history.iter().zip(&known).all(|(a, b)| same(a, b)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The history up to the last of the steps, the oldest first; `None` if one is not in it, because
/// it belongs to another stage or is printed in another way.
fn up_to_steps(
    mut history: Vec<ImageHistoryResponseItem>,
    steps: &[Step],
) -> Option<Vec<ImageHistoryResponseItem>> {
    history.reverse();
    let mut end = 0;
    for step in steps {
        let command = command(&step.instruction);
        let found = history.iter().rposition(|item| words(&item.created_by).contains(&command))?;
        end = end.max(found + 1);
    }
    history.truncate(end);
    Some(history)
}

/// A result keeps its time when it is taken from the cache, so it is the same one.
fn same(a: &ImageHistoryResponseItem, b: &ImageHistoryResponseItem) -> bool {
    (a.created, &a.created_by, a.size) == (b.created, &b.created_by, b.size)
}

/// `RUN --mount=x command` without what is not in the history.
fn command(instruction: &str) -> String {
    let arguments = instruction.split_whitespace().skip(1);
    arguments.skip_while(|word| word.starts_with("--")).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
