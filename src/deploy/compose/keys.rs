//! The keys of the Compose Specification, to tell what Crane does not handle yet from what nobody
//! knows (compose-spec.json of compose-go, 2025).

use super::{item::Item, names::NAME_MAX};
use crate::error::Problem;

/// The keys that one kind of mapping may have.
pub(super) struct Keys {
    /// What has these keys, with its article.
    of: &'static str,
    /// All of the Specification's in one line, those that Crane handles among them.
    specified: &'static str,
}

impl Keys {
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.specified.split(' ')
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.names().any(|name| name == key)
    }

    /// The problem with a key that the caller does not handle; none for an extension (`x-...`),
    /// which is the user's own business.
    pub(super) fn refuse(&self, item: &Item<'_>) -> Option<Problem> {
        let key = item.key;
        if key.starts_with("x-") {
            return None;
        }
        let message = if self.has(key) {
            format!("'{key}' of {} is not handled by Crane yet", self.of)
        } else {
            let hint = suggestion(key, self.names());
            format!("{} has no key '{key}'{hint}", self.of)
        };
        Some(item.key_problem(message))
    }
}

/// `; did you mean 'ports'?` where something comes near enough, else nothing.
pub(super) fn suggestion<T: AsRef<str>>(name: &str, known: impl Iterator<Item = T>) -> String {
    // Names are short; comparing takes time with the square of their length.
    if name.len() > NAME_MAX {
        return String::new();
    }
    // Two slips at most, and fewer than a third of the word: "tty" is not a slip of "pid".
    let limit = 2.min(name.chars().count().div_ceil(3));
    known
        .map(|candidate| (strsim::osa_distance(name, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("; did you mean '{}'?", candidate.as_ref()))
        .unwrap_or_default()
}

pub(super) const FILE: Keys = Keys {
    of: "a compose file",
    specified: "\
        configs include models name networks secrets services version volumes",
};

pub(super) const SERVICE: Keys = Keys {
    of: "a service",
    specified: "\
        annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent \
        command configs container_name cpu_count cpu_percent cpu_period cpu_quota \
        cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on \
        deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname \
        entrypoint env_file environment expose extends external_links extra_hosts gpus \
        group_add healthcheck hostname image init ipc isolation label_file labels \
        links logging mac_address mem_limit mem_reservation mem_swappiness \
        memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid \
        pids_limit platform ports post_start pre_stop privileged profiles provider \
        pull_policy pull_refresh_after read_only restart runtime scale secrets \
        security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt \
        sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes \
        volumes_from working_dir",
};

/// What the first format knows and the Specification does not.
pub(super) const FIRST_FORMAT_SERVICE: Keys = Keys {
    of: "a service of the first format",
    specified: "dockerfile log_driver log_opt net volume_driver",
};

pub(super) const DEPENDENCY: Keys =
    Keys { of: "a dependency", specified: "condition required restart" };

pub(super) const PORT: Keys =
    Keys { of: "a port", specified: "app_protocol host_ip mode name protocol published target" };

pub(super) const MOUNT: Keys = Keys {
    of: "a mount",
    specified: "bind consistency image read_only source target tmpfs type volume",
};

pub(super) const MOUNT_VOLUME: Keys =
    Keys { of: "a mount's `volume`", specified: "labels nocopy subpath" };

pub(super) const ATTACHMENT: Keys = Keys {
    of: "a service's network",
    specified: "\
        aliases driver_opts gw_priority interface_name ipv4_address ipv6_address \
        link_local_ips mac_address priority",
};

pub(super) const NETWORK: Keys = Keys {
    of: "a network",
    specified: "\
        attachable driver driver_opts enable_ipv4 enable_ipv6 external internal ipam \
        labels name",
};

pub(super) const VOLUME: Keys =
    Keys { of: "a volume", specified: "driver driver_opts external labels name" };

pub(super) const EXTERNAL: Keys = Keys { of: "`external`", specified: "name" };

#[cfg(test)]
mod tests {
    use super::{SERVICE, suggestion};

    #[test]
    fn slips_are_recognised() {
        let known = || SERVICE.names();
        assert_eq!(suggestion("prots", known()), "; did you mean 'ports'?");
        assert_eq!(suggestion("enviroment", known()), "; did you mean 'environment'?");
        assert_eq!(suggestion("comand", known()), "; did you mean 'command'?");
        assert_eq!(suggestion("frobnicate", known()), "");
        assert_eq!(suggestion("x", known()), "");
    }

    #[test]
    fn the_list_of_service_keys_is_complete_and_sorted() {
        assert_eq!(SERVICE.names().count(), 92);
        assert!(SERVICE.names().is_sorted());
    }
}
