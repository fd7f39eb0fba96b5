//! Asking a git server for references and packs: protocol version 2 (gitprotocol-v2(5)), and
//! versions 0 and 1 (gitprotocol-pack(5)) with servers that know no other.

use git2::Oid;

use super::{
    address::Address,
    names::full_names,
    pkt::{Pkt, put},
    wire::{Lines, Wire},
};
use crate::puppet::{
    fault::{Fault, Result, said},
    net::{Egress, Http, Ssh},
};

/// More references than this are no module's.
const REFS: usize = 200_000;

const AGENT: &str = concat!("agent=git/crane-", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Ref {
    pub(in super::super) name: String,
    pub(in super::super) oid: Oid,
    /// What the annotated tag is of.
    pub(in super::super) peeled: Option<Oid>,
}

impl Ref {
    /// The object that is meant, seen through tags.
    pub(in super::super) fn target(&self) -> Oid {
        self.peeled.unwrap_or(self.oid)
    }
}

/// What to fetch.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Fetch {
    pub(in super::super) wants: Vec<Oid>,
    /// Commits of the history; none for all.
    pub(in super::super) depth: Option<u32>,
    /// Commits and tags only, where the server can leave out the rest.
    pub(in super::super) only_commits: bool,
    /// Commits that are here with everything before them, or with nothing before them (`shallow`).
    pub(in super::super) haves: Vec<Oid>,
    pub(in super::super) shallow: Vec<Oid>,
}

enum Dialect {
    /// Version 2 is tried first over HTTP, without asking, because it saves a round trip.
    Unasked,
    Two {
        filter: bool,
    },
    Zero {
        refs: Vec<Ref>,
        capabilities: Vec<String>,
    },
}

pub(in super::super) struct Remote<'a> {
    wire: Wire<'a>,
    dialect: Dialect,
}

impl<'a> Remote<'a> {
    /// A connection to the repository.
    pub(in super::super) async fn open(
        http: &'a Http,
        ssh: &Ssh,
        egress: &Egress,
        url: &str,
    ) -> Result<Self> {
        let wire = match Address::read(url)? {
            Address::Http(url) => {
                return Ok(Self { wire: Wire::http(http, url), dialect: Dialect::Unasked });
            }
            Address::Git(url) => Wire::git(egress, &url).await?,
            Address::Ssh(login, path) => Wire::ssh(ssh, egress, &login, &path).await?,
        };
        let mut remote = Self { wire, dialect: Dialect::Unasked };
        remote.read_advertisement().await?;
        Ok(remote)
    }

    async fn read_advertisement(&mut self) -> Result<()> {
        let (first, mut lines) = self.wire.advertisement().await?;
        if first.as_deref() == Some("version 2") {
            let mut filter = false;
            while let Some(line) = lines.text().await? {
                if let Some(format) = line.strip_prefix("object-format=") {
                    sha1_only(format)?;
                } else if let Some(features) = line.strip_prefix("fetch=") {
                    filter = features.split(' ').any(|feature| feature == "filter");
                }
            }
            self.dialect = Dialect::Two { filter };
            return Ok(());
        }
        let mut refs: Vec<Ref> = Vec::new();
        let mut capabilities = Vec::new();
        let mut next = match first {
            Some(line) if line == "version 1" => lines.text().await?,
            other => other,
        };
        while let Some(line) = next {
            let line = match line.split_once('\0') {
                Some((line, words)) => {
                    capabilities = words.split_whitespace().map(str::to_owned).collect();
                    line.to_owned()
                }
                None => line,
            };
            let Some((oid, name)) = line.split_once(' ') else {
                return Err(Fault::refused("the server's list of references is not git's"));
            };
            match name.strip_suffix("^{}") {
                Some("capabilities") => {}
                Some(_) => {
                    if let Some(tag) = refs.last_mut() {
                        tag.peeled = Some(parse(oid)?);
                    }
                }
                None => refs.push(Ref { name: name.to_owned(), oid: parse(oid)?, peeled: None }),
            }
            few_enough(refs.len())?;
            next = lines.text().await?;
        }
        for word in &capabilities {
            if let Some(format) = word.strip_prefix("object-format=") {
                sha1_only(format)?;
            }
        }
        self.dialect = Dialect::Zero { refs, capabilities };
        Ok(())
    }

    /// The references that any of the names may stand for; all of them for no names. Servers may
    /// send more than was asked for.
    pub(in super::super) async fn refs(&mut self, names: &[&str]) -> Result<Vec<Ref>> {
        if matches!(self.dialect, Dialect::Unasked) {
            match self.ls_refs(names).await {
                Ok(refs) => {
                    // `filter` is not known, and is asked for where it is needed.
                    return Ok(refs);
                }
                Err(Fault::Own(error)) => return Err(Fault::Own(error)),
                Err(_) => self.read_advertisement().await?,
            }
        }
        match &self.dialect {
            Dialect::Zero { refs, .. } => Ok(refs.clone()),
            _ => self.ls_refs(names).await,
        }
    }

    async fn ls_refs(&mut self, names: &[&str]) -> Result<Vec<Ref>> {
        let mut request = Vec::new();
        put(&mut request, "command=ls-refs\n");
        put(&mut request, AGENT);
        put(&mut request, "object-format=sha1");
        request.extend_from_slice(b"0001");
        put(&mut request, "peel\n");
        for name in names {
            for full in full_names(name) {
                put(&mut request, &format!("ref-prefix {full}\n"));
            }
        }
        request.extend_from_slice(b"0000");
        let mut lines = self.wire.exchange(request, true).await?;
        let mut refs = Vec::new();
        loop {
            match lines.next().await? {
                Some(Pkt::Data(data)) => {
                    let line = String::from_utf8_lossy(&data);
                    let line = line.strip_suffix('\n').unwrap_or(&line);
                    if let Some(error) = line.strip_prefix("ERR ") {
                        return Err(Fault::refused(said(error)));
                    }
                    let mut words = line.split(' ');
                    let (Some(oid), Some(name)) = (words.next(), words.next()) else {
                        return Err(Fault::refused("the server's list of references is not git's"));
                    };
                    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
                    let peeled = peeled.map(parse).transpose()?;
                    refs.push(Ref { name: name.to_owned(), oid: parse(oid)?, peeled });
                    few_enough(refs.len())?;
                }
                Some(Pkt::Flush) => return Ok(refs),
                // A server of version 0 ends here, as it understood nothing.
                _ => return Err(Fault::away("the answer broke off")),
            }
        }
    }

    /// Asks for a pack.
    pub(in super::super) async fn fetch(&mut self, fetch: &Fetch) -> Result<Pack<'_>> {
        // Whether the server can leave out what is not a commit has to be known before.
        if fetch.only_commits && matches!(self.dialect, Dialect::Unasked) {
            self.read_advertisement().await?;
        }
        match &self.dialect {
            Dialect::Zero { capabilities, .. } => {
                let request = request_zero(fetch, capabilities);
                let lines = self.wire.exchange(request, false).await?;
                pack_zero(lines, fetch.depth.is_some()).await
            }
            Dialect::Two { filter } => {
                let request = request_two(fetch, *filter);
                pack_two(self.wire.exchange(request, true).await?).await
            }
            Dialect::Unasked => {
                let request = request_two(fetch, false);
                pack_two(self.wire.exchange(request, true).await?).await
            }
        }
    }

    /// Whether the server speaks version 2, in which any object may be asked for.
    pub(in super::super) fn is_version_2(&self) -> bool {
        matches!(self.dialect, Dialect::Two { .. })
    }

    /// Asks what dialect the server speaks, if that is not known.
    pub(in super::super) async fn ask_dialect(&mut self) -> Result<()> {
        match self.dialect {
            Dialect::Unasked => self.read_advertisement().await,
            _ => Ok(()),
        }
    }
}

fn request_two(fetch: &Fetch, filter: bool) -> Vec<u8> {
    let mut request = Vec::new();
    put(&mut request, "command=fetch");
    put(&mut request, AGENT);
    put(&mut request, "object-format=sha1");
    request.extend_from_slice(b"0001");
    put(&mut request, "no-progress");
    put(&mut request, "ofs-delta");
    for oid in &fetch.shallow {
        put(&mut request, &format!("shallow {oid}"));
    }
    if let Some(depth) = fetch.depth {
        put(&mut request, &format!("deepen {depth}"));
    }
    if fetch.only_commits && filter {
        put(&mut request, "filter tree:0");
    }
    for oid in &fetch.wants {
        put(&mut request, &format!("want {oid}"));
    }
    for oid in &fetch.haves {
        put(&mut request, &format!("have {oid}"));
    }
    put(&mut request, "done");
    request.extend_from_slice(b"0000");
    request
}

async fn pack_two(mut lines: Lines<'_>) -> Result<Pack<'_>> {
    loop {
        match lines.text().await? {
            Some(line) if line == "packfile" => return Ok(Pack(lines)),
            Some(section)
                if ["shallow-info", "wanted-refs", "acknowledgments"].contains(&&*section) =>
            {
                while lines.text().await?.is_some() {}
            }
            _ => return Err(Fault::away("the answer has no pack")),
        }
    }
}

fn request_zero(fetch: &Fetch, capabilities: &[String]) -> Vec<u8> {
    let mut words = vec!["side-band-64k"];
    for word in ["ofs-delta", "no-progress", "filter"] {
        let known = capabilities.iter().any(|capability| capability == word);
        if known && (word != "filter" || fetch.only_commits) {
            words.push(word);
        }
    }
    let filter = words.contains(&"filter");
    let words = format!("{} {AGENT}", words.join(" "));
    let mut request = Vec::new();
    for (number, oid) in fetch.wants.iter().enumerate() {
        let words = if number == 0 { format!(" {words}") } else { String::new() };
        put(&mut request, &format!("want {oid}{words}\n"));
    }
    for oid in &fetch.shallow {
        put(&mut request, &format!("shallow {oid}\n"));
    }
    if let Some(depth) = fetch.depth {
        put(&mut request, &format!("deepen {depth}\n"));
    }
    if filter {
        put(&mut request, "filter tree:0\n");
    }
    request.extend_from_slice(b"0000");
    for oid in &fetch.haves {
        put(&mut request, &format!("have {oid}\n"));
    }
    put(&mut request, "done\n");
    request
}

async fn pack_zero(mut lines: Lines<'_>, shallow: bool) -> Result<Pack<'_>> {
    if shallow {
        while lines.text().await?.is_some() {}
    }
    match lines.text().await? {
        Some(line) if line == "NAK" || line.starts_with("ACK ") => Ok(Pack(lines)),
        _ => Err(Fault::refused("the server does not give what was asked for")),
    }
}

/// A pack as it arrives, out of its side band.
pub(in super::super) struct Pack<'a>(Lines<'a>);

impl Pack<'_> {
    /// The next bytes of the pack; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            match self.0.next().await? {
                Some(Pkt::Data(mut data)) => match data.first() {
                    Some(1) => {
                        data.remove(0);
                        return Ok(Some(data));
                    }
                    Some(3) => {
                        return Err(Fault::refused(said(&String::from_utf8_lossy(&data[1..]))));
                    }
                    _ => {}
                },
                Some(Pkt::Flush) => return Ok(None),
                _ => return Err(Fault::away("the pack broke off")),
            }
        }
    }
}

fn parse(oid: &str) -> Result<Oid> {
    match Oid::from_str(oid) {
        Ok(parsed) if oid.len() == 40 => Ok(parsed),
        _ => Err(Fault::refused("the server's list of references is not git's")),
    }
}

fn few_enough(refs: usize) -> Result<()> {
    match refs <= REFS {
        true => Ok(()),
        false => Err(Fault::refused(format!("the repository has more than {REFS} references"))),
    }
}

fn sha1_only(format: &str) -> Result<()> {
    match format {
        "sha1" => Ok(()),
        other => Err(Fault::refused(format!("repositories with {other} names are not supported"))),
    }
}
