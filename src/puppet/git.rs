//! git repositories: asked over our own transport, kept in the cache, written as r10k leaves them.
//!
//! libgit2 reads and writes the objects. It is not given the network: what speaks to servers
//! ([`wire`], [`remote`]) is here, in safe Rust, on connections that `net` dials, so that the
//! address that was checked is the one connected to, and dropping a future ends its connection.
//! [`pack`] bounds what a server sends before libgit2 sees it; most packs are [`small`] enough to be
//! read without libgit2.

mod address;
mod attributes;
mod checkout;
mod history;
mod kept;
mod names;
mod objects;
mod pack;
mod pkt;
mod remote;
mod small;
mod source;
mod wire;

pub(super) use self::{
    checkout::{Checkout, checkout},
    history::History,
    names::{Wanted, may_be_an_expression, pick},
    objects::Objects,
    remote::{Fetch, Pack, Ref, Remote},
    small::Small,
};
