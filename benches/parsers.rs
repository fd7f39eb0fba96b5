//! What reading a user's file costs, without any I/O.
#![allow(clippy::unwrap_used)]

use std::{fmt::Write, hint::black_box};

use crane::{
    build::{self, Source},
    deploy, puppet,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn parsers(criterion: &mut Criterion) {
    let puppetfile = puppetfile(40);
    let compose = compose_file(30);
    let dockerfile = dockerfile(40);
    let mut group = criterion.benchmark_group("parse");

    group.throughput(Throughput::Bytes(puppetfile.len() as u64));
    group.bench_function("Puppetfile of 40 modules", |bencher| {
        bencher.iter(|| puppet::check(black_box(&puppetfile)).unwrap());
    });

    group.throughput(Throughput::Bytes(compose.len() as u64));
    group.bench_function("compose file of 30 services", |bencher| {
        bencher.iter(|| deploy::check("compose.yml", black_box(&compose)).unwrap());
    });

    group.throughput(Throughput::Bytes(dockerfile.len() as u64));
    let source = Source::Dockerfile { dockerfile, manifest: None };
    group.bench_function("Dockerfile of 40 instructions", |bencher| {
        bencher.iter(|| assert!(build::check(black_box(&source)).is_empty()));
    });
    group.finish();
}

/// Forge modules and git modules in turn, as people write them.
fn puppetfile(modules: usize) -> String {
    let mut text = "forge 'https://forgeapi.puppet.com'\n\n".to_owned();
    for number in 0..modules {
        match number % 2 {
            0 => writeln!(text, "mod 'puppetlabs-module{number}', '8.{number}.0'").unwrap(),
            _ => writeln!(
                text,
                "# a fork of ours\nmod 'module{number}',\n  \
                 git: 'https://git.example/modules/module{number}.git',\n  tag: 'v1.{number}.0'\n"
            )
            .unwrap(),
        }
    }
    text
}

/// A chain of services, each with a bit of everything.
fn compose_file(services: usize) -> String {
    let mut text = "services:\n".to_owned();
    for number in 0..services {
        write!(
            text,
            "  service{number}:\n    image: default/image{number}\n    \
             command: [\"serve\", \"--port\", \"80\"]\n    environment:\n      \
             NAME: service{number}\n      LEVEL: info\n    ports:\n      \
             - \"127.0.0.1:{}:80\"\n    volumes:\n      - data{number}:/var/lib/service\n    \
             restart: unless-stopped\n",
            8000 + number
        )
        .unwrap();
        if let Some(before) = number.checked_sub(1) {
            writeln!(text, "    depends_on:\n      - service{before}").unwrap();
        }
    }
    text.push_str("volumes:\n");
    for number in 0..services {
        writeln!(text, "  data{number}:").unwrap();
    }
    text
}

/// Two stages; an instruction in three goes over several lines.
fn dockerfile(instructions: usize) -> String {
    let mut text = "FROM debian-puppet:bookworm AS build\n".to_owned();
    for number in 1..instructions {
        match number {
            20 => writeln!(text, "FROM debian-puppet:bookworm"),
            21 => writeln!(text, "COPY --from=build /out /out"),
            _ if number % 3 == 0 => writeln!(
                text,
                "# what step {number} needs\nRUN apt-get update \\\n \
                 && apt-get install --yes package{number} \\\n && rm -rf /var/lib/apt/lists/*"
            ),
            _ if number % 3 == 1 => writeln!(text, "COPY modules/m{number} /modules/m{number}"),
            _ => writeln!(text, "ENV STEP_{number}=\"value of $HOME and {number}\""),
        }
        .unwrap();
    }
    text
}

criterion_group!(benches, parsers);
criterion_main!(benches);
