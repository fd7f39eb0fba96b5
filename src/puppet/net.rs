//! Every connection that the native engine makes.
//!
//! [`Egress`] says which hosts and addresses may be connected to; [`dial`] is the one place that
//! connects, to the address that was checked; [`Http`] is the one HTTP client, which dials so too, and
//! [`Ssh`] the one SSH client.

mod body;
mod dial;
mod egress;
mod http;
mod proxy;
mod retry;
mod ssh;
mod tls;

pub(super) use self::{
    body::{Body, fault},
    dial::dial,
    http::{Answer, Ask, Http},
    retry::retried,
    ssh::{Login, Ssh},
    tls::configuration,
};
pub use self::{
    egress::Egress,
    http::Credential,
    proxy::Proxies,
    ssh::{KnownHosts, SshKey, SshSettings},
};
