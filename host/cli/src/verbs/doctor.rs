//! `nexus doctor`: what is wrong with this machine, the data directory or the database, and what to do about it. It only looks: nothing is
//! made or changed, wherever it is pointed at.

use anyhow::Result;
use host_engine::{Allocation, Engine, EngineOptions};
use host_postgres::{DataDir, Programs};
use host_store::Examined;

use crate::application::Application;
use crate::args::DoctorArgs;
use crate::target::target;

/// One thing that was looked at.
struct Finding {
    subject: &'static str,
    ok: bool,
    detail: String,
}

pub(crate) async fn doctor(args: DoctorArgs, json: bool) -> Result<()> {
    let mut findings = vec![manifest(&args), engine(), postgres().await, data_dir(&args)];
    match args.database.url() {
        Ok(Some(url)) => findings.extend(database(&url).await),
        Ok(None) => {}
        Err(error) => findings.push(finding("database", Err(error))),
    }
    let sound = findings.iter().all(|finding| finding.ok);
    for Finding { subject, ok, detail } in findings {
        crate::print_line(&if json {
            serde_json::json!({ "subject": subject, "ok": ok, "detail": detail }).to_string()
        } else {
            format!("{}  {subject:<12} {detail}", if ok { "ok   " } else { "WRONG" })
        });
    }
    if sound {
        Ok(())
    } else {
        anyhow::bail!("something is wrong: see above")
    }
}

fn finding(subject: &'static str, result: Result<String>) -> Finding {
    match result {
        Ok(detail) => Finding {
            subject,
            ok: true,
            detail,
        },
        Err(error) => Finding {
            subject,
            ok: false,
            detail: format!("{error:#}"),
        },
    }
}

fn manifest(args: &DoctorArgs) -> Finding {
    let read = Application::load(&args.application.manifest).and_then(|application| {
        let revisions = application.revisions()?;
        Ok(format!("{} components, all built", revisions.len()))
    });
    finding("application", read)
}

fn engine() -> Finding {
    let detail = Engine::new(&EngineOptions::default()).map(|engine| match engine.allocation() {
        Allocation::Pooled => "instances come from a pool".to_owned(),
        Allocation::OnDemand => "no pool could be reserved: raise the limit of virtual memory (`ulimit -v`)".to_owned(),
    });
    finding("engine", detail.map_err(Into::into))
}

async fn postgres() -> Finding {
    let found = Programs::find().await;
    finding(
        "postgresql",
        found
            .map(|found| format!("{} in {}", found.major(), found.dir().display()))
            .map_err(Into::into),
    )
}

fn data_dir(args: &DoctorArgs) -> Finding {
    let path = &args.application.data_dir;
    match DataDir::examine(path) {
        Ok(()) if !path.exists() => finding("data", Ok(format!("{} is not there yet", path.display()))),
        Ok(()) => finding("data", Ok(format!("{} is free", path.display()))),
        Err(host_postgres::Error::Locked { pid, .. }) => {
            let holder = pid.map_or_else(|| "a host".to_owned(), |pid| format!("the host with pid {pid}"));
            finding("data", Ok(format!("{} is in use by {holder}", path.display())))
        }
        Err(error) => finding("data", Err(error.into())),
    }
}

async fn database(url: &str) -> Vec<Finding> {
    if let Err(error) = target(url) {
        return vec![finding("database", Err(error))];
    }
    let Examined { is_migrated, open } = match host_store::examine(url).await {
        Ok(examined) => examined,
        Err(error) => return vec![finding("database", Err(error.into()))],
    };
    let reachable = finding("database", Ok("reachable".to_owned()));
    let found = match is_migrated {
        false => Ok("not migrated yet: `nexus up` and `nexus migrate` do it".to_owned()),
        true if open.is_empty() => Ok("migrated, and closed to what modules must not call".to_owned()),
        true => Err(anyhow::anyhow!(
            "PUBLIC may still use {}: start a host, and have a superuser run `REVOKE … FROM PUBLIC` in this database for what is left then",
            open.join(", "),
        )),
    };
    vec![reachable, finding("schema", found)]
}
