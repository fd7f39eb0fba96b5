//! What the user should know before anything is done, and which Forge is asked.

use super::{
    super::{
        Settings,
        puppetfile::{Puppetfile, Source as Declared},
    },
    Native, PUBLIC_FORGE,
};
use crate::model::{Channel, Log};

/// The Forge that is asked: the Puppetfile's if its host is allowed by name, else the configured.
pub(in super::super) fn forge<'a>(
    native: &Native,
    settings: &'a Settings,
    puppetfile: &'a Puppetfile,
) -> &'a str {
    let own = settings.forge.as_deref().unwrap_or(PUBLIC_FORGE);
    match &puppetfile.forge {
        Some(asked) if may_be_asked(native, &asked.value) => &asked.value,
        _ => own,
    }
}

fn may_be_asked(native: &Native, forge: &str) -> bool {
    let url = url::Url::parse(forge).ok();
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http"));
    url.is_some_and(|url| url.host_str().is_some_and(|host| native.egress.allows_host(host)))
}

/// What the user should know before anything is done.
pub(super) async fn warn(native: &Native, settings: &Settings, puppetfile: &Puppetfile, log: &Log) {
    let mut warnings: Vec<String> = puppetfile.warnings.iter().map(ToString::to_string).collect();
    if let Some(asked) = &puppetfile.forge {
        let used = forge(native, settings, puppetfile);
        if asked.value.trim_end_matches('/') != used.trim_end_matches('/') {
            let message = format!("this `forge` is ignored, modules come from {used}");
            warnings.push(asked.at.problem(message).to_string());
        }
    }
    for module in &puppetfile.modules {
        if let Declared::Local = module.source
            && module.exclude_spec.is_some()
        {
            let message = "`exclude_spec` does nothing to a local module";
            warnings.push(module.at.problem(message).to_string());
        }
    }
    for warning in warnings {
        log.write(Channel::Log, format!("WARN -> {warning}")).await;
    }
}
