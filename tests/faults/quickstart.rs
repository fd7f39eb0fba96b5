//! What `install/quickstart` asks for, in its order, with a manifest that needs no packages from
//! the network: Crane is killed in the middle of each step, and the service answers all the same.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    Form, Program, Served,
    docker::{self, docker},
    rig,
};

const PAGE: &str = r#"perl -MIO::Socket::INET -e '$$SIG{TERM} = sub { exit }; open my $$page, "<", "/srv/page" or die; my $$line = <$$page>; my $$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die; while (my $$c = $$s->accept) { print $$c $$line; close $$c }'"#;

const MANIFEST: &str = "file { '/srv/page': ensure => file }\n\
    file_line { 'page': path => '/srv/page', line => join(['made', 'by', 'Puppet'], ' '), \
    require => File['/srv/page'] }\n";

/// A sample of the project's, with the address of the rig's git server.
fn sample(path: &str) -> String {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(file).unwrap().replace("http://127.0.0.1:9420", &rig("RIG_GIT"))
}

struct Quickstart {
    program: Program,
    served: Served,
}

impl Quickstart {
    /// Posts, kills Crane twice while it is at it, and gives the token of what is finished then.
    async fn step(&mut self, route: &str, form: Form) -> String {
        let body = self.served.http.post(route, form).await.ok();
        let token = body["token"].as_str().or(body["name"].as_str()).unwrap().to_owned();
        for milliseconds in [400, 900] {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            self.served.end("KILL");
            self.served = self.program.start();
        }
        let body = self.served.ends(&format!("{route}/{token}")).await;
        assert_eq!(body["status"], "finished", "{body:#}\n{}", self.served.log());
        token
    }
}

fn page(container: &str) -> Option<String> {
    let address = docker(&["port", container, "80/tcp"]);
    let connection = TcpStream::connect(address.lines().next()?).ok()?;
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).ok()?;
    Some(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_every_step_of_the_quickstart_it_ends_in_the_same_service() {
    let data = TempDir::new().unwrap();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let group = format!("visits-{unique}");
    let registry = format!("{}/{group}", rig("RIG_REGISTRY"));
    let program = Program::new(data.path()).with("CRANE_REGISTRY", registry);
    let mut quickstart = Quickstart { served: program.start(), program };

    let base = format!("debian-puppet-{unique}");
    let dockerfile = sample("contexts/debian-puppet-offline/Dockerfile");
    let form = Form::default().text("imageName", &base);
    let form = form.file("dockerfile", "Dockerfile", dockerfile);
    quickstart.step("/builder/images/bases", form).await;

    let puppetfile = sample("contexts/visits-offline/Puppetfile");
    let form = Form::default().text("group", &group);
    let form = form.file("puppetfile", "Puppetfile", puppetfile);
    let context = quickstart.step("/builder/contexts", form).await;

    let form = Form::default()
        .text("contextReference", &context)
        .text("imageName", "web")
        .text("base", &format!("cloudopting/{base}"))
        .file("puppetmanifest", "web.pp", format!("# {unique}\n{MANIFEST}"));
    let image = quickstart.step("/builder/images", form).await;

    let compose = format!(
        "services:\n  web:\n    image: {group}/web\n    command: {}\n    \
         ports: ['127.0.0.1::80']\n    depends_on: [store]\n    restart: unless-stopped\n  \
         store:\n    image: {}\n    command: [perl, '-e', '$$SIG{{TERM}} = sub {{ exit }}; sleep']\n    \
         volumes: ['visits:/var/lib/store']\n    restart: unless-stopped\nvolumes:\n  visits:\n",
        serde_json::json!(PAGE),
        rig("RIG_BASE"),
    );
    let form = Form::default().file("composefile", "visits.compose.yml", compose);
    let composition = quickstart.step("/composer", form).await;

    let label = format!("label=eu.cloudopting.crane.resource={composition}");
    let names = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]);
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(docker(&["volume", "ls", "--quiet", "--filter", &label]).lines().count(), 1);
    let web = names.iter().find(|name| name.contains("web")).unwrap();
    crate::support::within(30, "the service answers", async || {
        page(web).is_some_and(|line| line == "made by Puppet\n")
    })
    .await;
    quickstart.served.purge().await;
    for token in [composition, image] {
        docker::assert_nothing_labelled(&format!("eu.cloudopting.crane.resource={token}"));
    }
}
