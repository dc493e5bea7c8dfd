//! `anagama serve`: wires the host to the server and waits for the end.

use crate::cli::Serve;
use crate::config::{Places, clean};
use crate::device::Device;
use crate::exit::{Exit, Fail, invalid};
use crate::host::Host;
use crate::serve_host::{Folders, ServeHost};
use crate::{extra_models, front_end};
use anyhow::Context as _;
use engine::{CachePolicy, MemoryProbe, Outputs, RamPolicy};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn serve(args: &Serve, config: Option<&Path>, device: Device) -> Result<Exit, Fail> {
    let mut host = Host::open(config, None, args.prefer_native)?;
    if let Some(amount) = &args.memory {
        host.set_memory(crate::memory::parse(amount).context("--memory").map_err(invalid)?);
    }
    let config = settings(args, &host.places)?;
    host.set_models(models(args, &host)?);
    let store = args.store.as_ref().map_or_else(|| host.config.store.clone(), |s| host.places.current.join(s));
    let folders = Folders {
        out: config.output_dir.clone(),
        input: config.input_dir.clone(),
        temp: config.temp_dir.clone(),
        store,
    };
    let device = if args.cpu { Device::Cpu } else { device };
    let host = Arc::new(ServeHost::new(host, folders, device, cache(args))?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build();
    let runtime = runtime.context("no threads for the server")?;
    let (token, secure) = (config.token.clone(), config.tls.is_some());
    let ready = |addresses: &[SocketAddr]| say_addresses(addresses, token.as_deref(), secure);
    runtime.block_on(server::serve(config, host, ready, stop()))?;
    Ok(Exit::Ok)
}

fn settings(args: &Serve, places: &Places) -> Result<server::Config, Fail> {
    let absolute = |path: &Path| clean(&places.current.join(path));
    let base = absolute(&args.base_directory);
    let usual = server::Config::below(&base);
    let or = |given: &Option<PathBuf>, usual: PathBuf| given.as_deref().map_or(usual, absolute);
    let mut listen = Vec::new();
    for address in args.listen.split(',').map(str::trim).filter(|a| !a.is_empty()) {
        let name = if address == "localhost" { "127.0.0.1" } else { address };
        let ip: IpAddr =
            name.parse().with_context(|| format!("--listen: `{address}` is no IP address")).map_err(invalid)?;
        // A machine without IPv6 has no `::`; all its addresses are asked for, not this one.
        if args.listen == "0.0.0.0,::" && ip.is_ipv6() {
            continue;
        }
        listen.push(SocketAddr::new(ip, args.port));
    }
    let user_dir = or(&args.user_directory, usual.user_dir.clone());
    let exposed = listen.iter().any(|a| !a.ip().is_loopback());
    let token = match &args.token {
        Some(token) if token.len() < 8 => {
            return Err(invalid(anyhow::anyhow!("--token: expected at least 8 characters, found {}", token.len())));
        }
        Some(token) => Some(token.clone()),
        None if exposed => Some(kept_token(&user_dir)?),
        None => None,
    };
    let front_end = match &args.front_end {
        Some(folder) => {
            let folder = absolute(folder);
            // Both the pages and the package around them are taken.
            let pages = [folder.clone(), folder.join("static"), folder.join("comfyui_frontend_package/static")];
            let found = pages.into_iter().find(|p| p.join("index.html").is_file());
            Some(
                found
                    .with_context(|| format!("--front-end: no index.html in {}", folder.display()))
                    .map_err(invalid)?,
            )
        }
        None if args.no_front_end => None,
        None => front_end::installed(places),
    };
    Ok(server::Config {
        listen,
        output_dir: or(&args.output_directory, usual.output_dir.clone()),
        input_dir: or(&args.input_directory, usual.input_dir.clone()),
        temp_dir: args.temp_directory.as_deref().map_or(usual.temp_dir.clone(), |t| absolute(t).join("temp")),
        user_dir,
        front_end,
        templates: args.templates.as_deref().map(absolute).or_else(|| front_end::templates(places)),
        tls: args.tls_certfile.as_deref().zip(args.tls_keyfile.as_deref()).map(|(c, k)| (absolute(c), absolute(k))),
        token,
        allowed_hosts: args.allow_host.clone(),
        cors: args.enable_cors_header.clone(),
        max_upload: (args.max_upload_size.max(0.0) * f64::from(1 << 20)) as usize,
        rate: args.rate_limit,
        policy: server::Policy { keep: args.history_size, ..usual.policy },
        preview_method: args.preview_method.clone(),
        preview_size: args.preview_size,
        now: crate::clock::now,
        arguments: std::env::args().skip(1).filter(|a| !args.token.as_ref().is_some_and(|t| a.contains(t))).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What stays in memory between jobs.
fn cache(args: &Serve) -> CachePolicy {
    if args.cache_none {
        return CachePolicy::None;
    }
    if let Some(count) = args.cache_lru.filter(|n| *n > 0) {
        return CachePolicy::Lru(count);
    }
    let Some(gigabytes) = args.cache_ram else { return CachePolicy::Classic };
    // ComfyUI's own headroom: a tenth of the memory, two to ten GB.
    let total = || crate::machine::memory().map_or(0, |memory| memory.total);
    let usual = || (total() / 10).clamp(2_000_000_000, 10_000_000_000);
    let headroom = if gigabytes > 0.0 { (gigabytes * 1e9) as u64 } else { usual() };
    CachePolicy::Ram(RamPolicy { headroom, probe: Arc::new(MachineMemory) })
}

struct MachineMemory;

impl MemoryProbe for MachineMemory {
    fn available(&self) -> u64 {
        crate::machine::memory().map_or(u64::MAX, |memory| memory.available)
    }

    fn size(&self, outputs: &Outputs) -> u64 {
        nodes::outputs_size(outputs)
    }
}

/// The configured folders, `models` below the base, and those of the extra files.
fn models(args: &Serve, host: &Host) -> Result<nodes::ModelDirs, Fail> {
    let absolute = |path: &Path| clean(&host.places.current.join(path));
    let own = absolute(&args.base_directory).join("models");
    let mut roots = host.config.models.clone();
    if !roots.contains(&own) {
        roots.push(own);
    }
    let mut models = nodes::ModelDirs::new(roots);
    let beside = absolute(&args.base_directory).join("extra_model_paths.yaml");
    let usual = beside.is_file().then_some(beside);
    for file in usual.into_iter().chain(args.extra_model_paths_config.iter().map(|f| absolute(f))) {
        for extra in extra_models::read(&file, host.places.home.as_deref()).map_err(invalid)? {
            models.add(&extra.kind, extra.folder, extra.first);
        }
    }
    Ok(models)
}

/// The generated token, which stays the same from start to start.
fn kept_token(user_dir: &Path) -> Result<String, Fail> {
    let file = user_dir.join("anagama-token");
    if let Ok(token) = std::fs::read_to_string(&file)
        && token.trim().len() >= 8
    {
        return Ok(token.trim().to_owned());
    }
    let token = server::new_token();
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(user_dir)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        std::io::Write::write_all(&mut options.open(&file)?, token.as_bytes())
    };
    write().with_context(|| format!("the token cannot be kept in {}", file.display()))?;
    Ok(token)
}

fn say_addresses(addresses: &[SocketAddr], token: Option<&str>, secure: bool) {
    let scheme = if secure { "https" } else { "http" };
    for address in addresses {
        println!("anagama listens on {scheme}://{address}");
    }
    if let Some(token) = token {
        println!("token: {token}");
    }
    let _ = std::io::stdout().flush();
}

/// Ready at Ctrl-C or SIGTERM; the second one ends the program at once.
async fn stop() {
    if crate::interrupt::wait().await.is_err() {
        // Without signals the server runs until it is killed, which loses nothing.
        std::future::pending::<()>().await;
    }
    // Where nobody can read it, stopping goes on.
    let _ = writeln!(std::io::stderr(), "stopping; once more ends at once");
    tokio::spawn(async {
        if crate::interrupt::wait().await.is_ok() {
            std::process::exit(i32::from(Exit::Aborted.code()));
        }
    });
}
