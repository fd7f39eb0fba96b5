//! The Dockerfile that Crane writes: a base, to which a manifest is applied with a context's
//! modules.

use super::context::MODULES;

/// Where modules and manifest are while Puppet runs. In a build, `/dev` is a file system in memory,
/// so nothing of this gets into the image, not even the mount points.
const MOUNTED: &str = "/dev/crane";

/// Where Puppet's own files are meanwhile, and for the classic builder, which mounts nothing,
/// everything else. (Puppet makes none of its directories below `/dev`.)
const SCRATCH: &str = "/tmp/crane";

/// `base` is the reference of an image, `manifest` the name of a file in the build context; both
/// have been checked to consist of characters that mean nothing to a shell.
pub(super) fn dockerfile(base: &str, manifest: &str, buildkit: bool) -> String {
    if buildkit {
        let apply = apply(MOUNTED, manifest);
        format!(
            "FROM {base}\n\
             RUN --mount=type=bind,source={MODULES},target={MOUNTED}/{MODULES} \
             --mount=type=bind,source={manifest},target={MOUNTED}/{manifest} {apply}\n"
        )
    } else {
        let apply = apply(SCRATCH, manifest);
        format!(
            "FROM {base}\n\
             COPY {MODULES} {SCRATCH}/{MODULES}\n\
             COPY {manifest} {SCRATCH}/{manifest}\n\
             RUN {apply}\n"
        )
    }
}

/// With `--detailed-exitcodes`, 0 is "nothing to do", 2 "done"; 1, 4 and 6 are failures (`puppet
/// help apply`).
///
/// The base's own modules come after the context's: Debian keeps the types there that are a part
/// of Puppet elsewhere (`cron`, `mount`, ...). Puppet's own package puts it into a directory that
/// is not in every base's `PATH`.
fn apply(directory: &str, manifest: &str) -> String {
    format!(
        "PATH=\"$PATH:/opt/puppetlabs/bin\"; command -v puppet > /dev/null || \
         {{ echo 'Error: the base image has no Puppet' >&2; exit 1; }}; \
         puppet apply --detailed-exitcodes --color=false \
         --modulepath='{directory}/{MODULES}:$basemodulepath' --vardir={SCRATCH}/var \
         --ssldir={SCRATCH}/ssl --logdir={SCRATCH}/log --rundir={SCRATCH}/run \
         --lastrunfile={SCRATCH}/summary {directory}/{manifest}; \
         code=$?; rm -rf {SCRATCH}; [ $code -eq 0 ] || [ $code -eq 2 ]"
    )
}
