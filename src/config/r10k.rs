//! Who installs Puppetfiles, and the container that r10k does it in.

use super::{ConfigError, Sources, refuse};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PuppetfileEngine {
    Native,
    R10k,
}

/// The container that r10k runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct R10kConfig {
    pub image: String,
    pub network: String,
    /// In bytes.
    pub memory: u64,
}

impl Sources {
    pub(super) fn puppetfile_engine(&self) -> Result<PuppetfileEngine, ConfigError> {
        let reason = match self.text("puppetfile_engine").as_str() {
            "native" => return Ok(PuppetfileEngine::Native),
            "r10k" if self.optional("r10k_image").is_some() => return Ok(PuppetfileEngine::R10k),
            "r10k" => "r10k needs CRANE_R10K_IMAGE, an image with r10k and git in it".to_owned(),
            other => format!("'{other}' is not an engine; there are 'native' and 'r10k'"),
        };
        refuse(self.origin("puppetfile_engine"), reason)
    }

    pub(super) fn r10k(&self) -> Result<Option<R10kConfig>, ConfigError> {
        let memory = self.bytes("r10k_memory")?;
        let network = self.text("r10k_network");
        if network.is_empty() {
            return refuse(self.origin("r10k_network"), "a network's name, or none");
        }
        let image = self.optional("r10k_image");
        Ok(image.map(|image| R10kConfig { image, network, memory }))
    }

    /// A number and its unit. Less than Ruby needs is no use.
    fn bytes(&self, key: &str) -> Result<u64, ConfigError> {
        let text = self.text(key);
        let bytes = [('m', 20), ('g', 30)].iter().find_map(|(unit, shift)| {
            let number: u32 = text.to_lowercase().strip_suffix(*unit)?.parse().ok()?;
            Some(u64::from(number) << shift)
        });
        match bytes.filter(|bytes| *bytes >= 64 << 20) {
            Some(bytes) => Ok(bytes),
            None => refuse(
                self.origin(key),
                format!("'{text}' is no size from 64m on: a number and m or g, such as 512m or 2g"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::from, *};

    #[test]
    fn r10k_needs_an_image_and_room() {
        assert_eq!(from(&[]).unwrap().r10k, None);
        let image = ("CRANE_R10K_IMAGE", "r10k:1");
        let r10k = from(&[image]).unwrap().r10k.unwrap();
        assert_eq!((&*r10k.network, r10k.memory), ("bridge", 1 << 30));
        let engine = ("CRANE_PUPPETFILE_ENGINE", "r10k");
        let error = from(&[engine]).unwrap_err();
        assert!(error.to_string().starts_with("CRANE_PUPPETFILE_ENGINE: r10k needs CRANE_R10K_"));
        assert_eq!(from(&[engine, image]).unwrap().puppetfile_engine, PuppetfileEngine::R10k);
        let memory = |text| from(&[image, ("CRANE_R10K_MEMORY", text)]);
        assert_eq!(memory("512M").unwrap().r10k.unwrap().memory, 512 << 20);
        for bad in ["", "1", "m", "63m", "-1g", "1t", "99999999999g"] {
            assert_eq!(memory(bad).unwrap_err().origin, "CRANE_R10K_MEMORY", "{bad}");
        }
    }
}
