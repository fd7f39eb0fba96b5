//! Asking a Forge for what the solver has to know.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    super::{
        describe::Need,
        fault::Result as Fetched,
        native::{Compat, Native},
        puppetfile::{Directory, Version},
        sources::{Order, forge},
    },
    known::{Known, Question},
    of_forge, own,
};
use crate::error::Result;

/// Questions at the same time; the requests of all are bounded elsewhere.
const AT_ONCE: usize = 24;

enum Answer {
    Releases(String, Option<Vec<String>>),
    Needs(String, String, Vec<Need>),
}

pub(super) async fn ask(
    native: &Native,
    forge: &str,
    known: &mut Known,
    questions: BTreeSet<Question>,
) -> Result<()> {
    let asked = stream::iter(questions).map(|question| answer(native, forge, question));
    let answers: Vec<Answer> = asked.buffer_unordered(AT_ONCE).try_collect().await.map_err(own)?;
    for answer in answers {
        match answer {
            Answer::Releases(name, releases) => known.tell_releases(name, releases),
            Answer::Needs(name, version, needs) => known.tell_needs(name, version, needs),
        }
    }
    Ok(())
}

async fn answer(native: &Native, base: &str, question: Question) -> Fetched<Answer> {
    let name = match &question {
        Question::Releases(name) | Question::Needs(name, _) => name,
    };
    let Some(module) = of_forge(name, Version::Latest, Directory::modules()) else {
        // Nothing on a Forge has such a name.
        return Ok(Answer::Releases(name.clone(), None));
    };
    let order =
        Order { native, module: &module, compat: Compat::default(), forge: base, locked: None };
    match question {
        Question::Releases(name) => {
            let releases = forge::releases(&order).await?;
            Ok(Answer::Releases(name, releases))
        }
        Question::Needs(name, version) => {
            let needs = forge::metadata(&order, &version).await?.needs();
            Ok(Answer::Needs(name, version, needs))
        }
    }
}
