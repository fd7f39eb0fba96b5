//! Compose files that cannot be deployed, and exactly what is said of each.

use std::fs;

use crane::{deploy, error::Error};

/// The problems of `tests/fixtures/compose/<name>.yml`.
fn problems(name: &str) -> Vec<String> {
    let file_name = format!("{name}.yml");
    let path = format!("{}/tests/fixtures/compose/{file_name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    match deploy::check(&file_name, &text) {
        Err(Error::Invalid { description, problems }) => {
            assert!(description.starts_with(&format!("{file_name} cannot be deployed: ")));
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// `name => [problem, ...]`: the fixture of that name, with hyphens for the underscores.
macro_rules! refused {
    ($($name:ident => [$($problem:literal),*];)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(problems(&stringify!($name).replace('_', "-")), [$($problem),*]);
        }
    )*};
}

refused! {
    alias_of_itself => ["services.web.labels:4:13: an alias inside the node it names"];
    bad_boolean => ["networks.inside.internal:3:22: this has to be true or false, not 'yes'"];
    bad_image => ["services.web.image:3:12: 'a;touch /tmp/p' cannot name an image: it is written [host[:port]/]path[:tag], the path in lower case, for example default/web:latest"];
    bad_port => ["services.web.ports[0]:4:13: a port is written [[address:]host-port[-last]:]port[-last][/protocol], for example 127.0.0.1:8080:80/tcp"];
    bad_restart => [r#"services.web.restart:2:32: restart is "no", always, unless-stopped, on-failure or on-failure:5, not 'sometimes'"#];
    bad_service_name => ["services.../web:2:3: '../web' cannot name a service: a name has at most 63 characters of [a-zA-Z0-9_.-] and begins with a letter or digit"];
    billion_laughs => ["billion-laughs.yml:5:26: the file has more than 50000 values, aliases included"];
    bind_by_driver_options => ["volumes.etc.driver_opts:4:18: these options mount a path or device of the engine's host, and Crane does not mount those yet (they come with a policy that says which are allowed)"];
    bind_mount => ["services.web.volumes[0]:4:15: './site' is a path of the engine's host, and Crane does not mount those yet (they come with a policy that says which are allowed); use a named volume"];
    build => ["services.web.build:3:5: Crane does not build images in a composition yet; build it with POST /builder/images and name it here as `image: group/name`"];
    complex_key => ["services:2:3: the file names no services", "services.?:2:5: a key has to be text"];
    container_name_twice => ["services.api.container_name:3:39: the container name 'one' is taken in line 2 already"];
    crane_label => ["services.web.labels:2:31: the label 'eu.cloudopting.crane.resource' is one of Crane's own"];
    cycle => ["services.web.depends_on[0]:2:36: these services wait for each other: api -> db -> web -> api"];
    deep => ["deep.yml:1:57: this is not valid YAML: recursion limit exceeded"];
    docker_socket => ["services.web.volumes[0]:4:15: '/var/run/docker.sock' is a path of the engine's host, and Crane does not mount those yet (they come with a policy that says which are allowed); use a named volume"];
    duplicate_key => ["services.web.image:4:5: 'image' is given twice, first in line 3"];
    empty => ["empty.yml:1:1: the file is empty; it has to name services"];
    empty_command => ["services.web.command:4:14: an empty command without an `entrypoint` is not handled; leave the key out to run the image's command"];
    empty_services => ["services:1:9: the file names no services"];
    external_with_driver => ["networks.corp.driver:3:26: 'driver' says nothing about what is external"];
    first_format_key => ["web.net:3:3: 'net' of a service of the first format is not handled by Crane yet"];
    host_network => ["networks.host:4:9: 'host' is a network of the engine's host, and Crane does not join those yet (they come with a policy that says who may)"];
    indentation => ["indentation.yml:4:4: this is not valid YAML: while parsing a block mapping, did not find expected key"];
    link_across_networks => ["services.web.links[0]:2:31: this service shares no network with 'db'"];
    list => ["list.yml:1:1: a compose file is a mapping (`services:` and so on) at its top"];
    lone_dollar => ["services.web.command:4:14: a single '$' means nothing here; write '$$' for a dollar sign"];
    long_bind_mount => ["services.web.volumes[0].type:5:16: '/etc' is a path of the engine's host, and Crane does not mount those yet (they come with a policy that says which are allowed); use a named volume"];
    merge_of_text => ["services.web.<<:3:9: '<<' merges a mapping or a list of mappings, usually by an alias"];
    misspelt_services => ["servces:1:1: a compose file has no key 'servces'; did you mean 'services'?"];
    mounted_twice => ["services.web.volumes[1]:4:24: '/data' is mounted twice"];
    nested_variable => ["services.web.environment.A:5:10: this has to be text, not a mapping"];
    no_image => ["services.web:2:3: the service 'web' names no `image`"];
    no_networks => ["services.web.networks:4:15: an empty list of networks; leave the key out for the default network"];
    no_services => ["version:1:1: the file has no `services`; a file of the first format, which needs none, has nothing but services at its top"];
    nul => ["services.web.hostname:4:15: text cannot hold a NUL character"];
    null_variable => ["services.web.environment.HOME:5:11: this variable has no value, and Crane never reads its own environment for one; write KEY=value, or KEY= for an empty value"];
    only_a_comment => ["only-a-comment.yml:1:1: the file is empty; it has to name services"];
    optional_dependency => ["services.web.depends_on.db.required:2:69: 'required' of a dependency is not handled by Crane yet"];
    port_taken_in_the_file => ["services.api.ports[0]:7:13: port 8080 of the host is taken by services.web.ports[0] in line 4 already"];
    relative_mount_target => ["services.web.volumes[0]:4:15: 'data' is no place for a volume: that is an absolute path in the container, not its root and without '..'"];
    relative_working_dir => ["services.web.working_dir:2:36: 'srv' is not an absolute path"];
    reset_tag => ["services.web.ports:4:19: the tag '!reset' is not handled: it merges several files, which Crane does not do yet"];
    self_dependency => ["services.web.depends_on[0]:2:36: these services wait for each other: web -> web"];
    service_without_mapping => ["services.web:2:8: this has to be a mapping (`key: value`), not a single value"];
    several => [
        "services.web.image:3:12: 'Redis' cannot name an image: it is written [host[:port]/]path[:tag], the path in lower case, for example default/web:latest",
        "services.web.prots:4:5: a service has no key 'prots'; did you mean 'ports'?",
        "services.web.depends_on[0]:5:18: the service 'db' is not defined",
        r#"services.web.restart:6:14: restart is "no", always, unless-stopped, on-failure or on-failure:5, not 'sometimes'"#
    ];
    tab => ["tab.yml:3:2: this is not valid YAML: tabs disallowed within this context (block indentation)"];
    text => ["text.yml:1:1: a compose file is a mapping (`services:` and so on) at its top"];
    tmpfs_mount => ["services.web.volumes[0].type:5:16: Crane mounts volumes (type: volume), and no 'tmpfs' yet"];
    too_many_ports => ["services.web.expose[0]:4:14: the file names more than 1000 ports"];
    two_documents => ["two-documents.yml:2:1: a second document begins here; a compose file is one document"];
    unclosed => ["unclosed.yml:2:8: this is not valid YAML: unclosed bracket '{'"];
    unclosed_quote => ["services.web.command:4:14: the command has a ' that is never closed"];
    undefined_link => ["services.web.links[0]:4:13: the service 'mysql' is not defined"];
    undefined_network => ["services.web.networks[0]:4:16: the network 'frnt' is not defined; did you mean 'front'?"];
    undefined_service => ["services.web.depends_on[0]:4:18: the service 'dbb' is not defined; did you mean 'db'?"];
    undefined_volume => ["services.web.volumes[0]:4:15: the volume 'data' is not defined; define it under `volumes` at the top level"];
    uneven_port_ranges => ["services.web.ports[0]:4:13: 2 ports of the host cannot stand for 3 of the container"];
    unhandled_nested_key => ["services.web.networks.default.ipv4_address:6:9: 'ipv4_address' of a service's network is not handled by Crane yet"];
    unhandled_service_key => ["services.web.privileged:4:5: 'privileged' of a service is not handled by Crane yet"];
    unhandled_top_level_key => ["secrets:2:1: 'secrets' of a compose file is not handled by Crane yet"];
    unknown_alias => ["unknown-alias.yml:2:8: this is not valid YAML: while parsing node, found unknown anchor"];
    unknown_condition => ["services.web.depends_on.db.condition:2:52: a condition is service_started, service_healthy or service_completed_successfully, not 'service_ready'"];
    unknown_mount_mode => ["services.web.volumes[0]:4:15: Crane knows the modes ro, rw and nocopy of a volume, not 'z'"];
    unknown_nested_key => ["services.web.ports[0].publish:6:9: a port has no key 'publish'; did you mean 'published'?"];
    unknown_service_key => ["services.web.prots:4:5: a service has no key 'prots'; did you mean 'ports'?"];
    unknown_tag => ["services.web.image:3:17: the tag '!env' is not handled: a compose file has no use for it here", "services.web.image:3:17: 'IMAGE' cannot name an image: it is written [host[:port]/]path[:tag], the path in lower case, for example default/web:latest"];
    unknown_top_level_key => ["netwroks:2:1: a compose file has no key 'netwroks'; did you mean 'networks'?"];
    variable => ["services.web.image:3:12: '${TAG:-latest}' is a variable, and Crane does not handle variables yet (it never reads its own environment for them); write the value, or '$${TAG:-latest}' if the dollar sign is meant"];
    variable_twice => ["services.web.environment[1]:4:24: 'A' is given twice"];
    variable_without_value => ["services.web.environment[0]:5:9: this variable has no value, and Crane never reads its own environment for one; write KEY=value, or KEY= for an empty value"];
}

#[test]
fn an_answer_has_no_more_problems_than_somebody_reads() {
    assert_eq!(problems("many-problems").len(), 100);
}

#[test]
fn quotations_are_short_and_harmless() {
    let [long] = &problems("long-text")[..] else { panic!() };
    assert!(long.len() < 500 && long.ends_with("..."), "{long}");
    let [escape] = &problems("control-characters")[..] else { panic!() };
    assert!(!escape.chars().any(char::is_control), "{escape}");
}
