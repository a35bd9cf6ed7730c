//! Services that are not Asterisk's, whose logins the guard can guard: which of them run here, and where they log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::survey::Owner;

/// Processes that are looked at, at most.
const MOST: usize = 65_536;

/// A service that a built-in jail is for.
struct Known {
    jail: &'static str,
    /// The names that the kernel has of its programs.
    programs: &'static [&'static str],
    /// Its usual logs, as the jail has them.
    logs: &'static [&'static str],
    /// Its units, whose journal is read where it has no log.
    units: &'static [&'static str],
}

const KNOWN: [Known; 8] = [
    Known {
        jail: "sshd",
        programs: &["sshd"],
        logs: &["var/log/auth.log", "var/log/secure"],
        units: &["ssh.service", "sshd.service"],
    },
    Known {
        jail: "freepbx-web",
        programs: &["apache2", "httpd"],
        logs: &["var/log/asterisk/freepbx_security.log", "var/log/issabel/audit.log"],
        units: &[],
    },
    Known {
        jail: "nginx-http-auth",
        programs: &["nginx"],
        logs: &["var/log/nginx/access.log"],
        units: &[],
    },
    Known {
        jail: "apache-auth",
        programs: &["apache2", "httpd"],
        logs: &["var/log/apache2/error.log", "var/log/httpd/error_log"],
        units: &[],
    },
    Known {
        jail: "postfix-sasl",
        programs: &["qmgr"],
        logs: &["var/log/mail.log", "var/log/maillog"],
        units: &[],
    },
    Known {
        jail: "dovecot",
        programs: &["dovecot"],
        logs: &["var/log/mail.log", "var/log/maillog"],
        units: &[],
    },
    Known { jail: "vsftpd", programs: &["vsftpd"], logs: &["var/log/vsftpd.log"], units: &[] },
    Known {
        jail: "kamailio",
        programs: &["kamailio"],
        logs: &["var/log/kamailio.log", "var/log/kamailio/kamailio.log"],
        units: &[],
    },
];

/// A service that runs here, and whose jail is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The name of the jail.
    pub jail: String,
    /// What the jail is to read, where that is not what is built in.
    pub logpath: Option<String>,
    /// Its log, with the owner, where it is a file.
    pub log: Option<(PathBuf, Owner)>,
}

/// Returns the services that run here, and whose jails are among those that are `disabled`. `root` is where the files are.
#[must_use]
pub fn offers(root: &Path, disabled: &[String]) -> Vec<Offer> {
    let running = programs(root);
    let known = KNOWN.iter().filter(|known| {
        disabled.iter().any(|jail| jail == known.jail)
            && known.programs.iter().any(|program| running.contains(*program))
    });
    known.filter_map(|known| offer(root, known)).collect()
}

fn offer(root: &Path, known: &Known) -> Option<Offer> {
    let jail = known.jail.to_owned();
    let file = known.logs.iter().find(|log| root.join(log).is_file());
    if let Some(log) = file {
        let owner = Owner::of(&root.join(log))?;
        return Some(Offer { jail, logpath: None, log: Some((Path::new("/").join(log), owner)) });
    }
    let has = |unit: &&&str| {
        ["usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system"]
            .iter()
            .any(|directory| root.join(directory).join(unit).is_file())
    };
    let unit = known.units.iter().find(has)?;
    Some(Offer { jail, logpath: Some(format!("journal:{unit}")), log: None })
}

/// Returns the names of the programs that run.
fn programs(root: &Path) -> BTreeSet<String> {
    let processes = fs::read_dir(root.join("proc")).into_iter().flatten().flatten().take(MOST);
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    processes.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn what_runs_and_logs_is_offered() {
        let all: Vec<_> = KNOWN.iter().map(|known| known.jail.to_owned()).collect();
        let unit = ("usr/lib/systemd/system/ssh.service", "");
        let sshd = ("proc/7/comm", "sshd\n");
        let offered = |files: &[(&str, &str)], disabled: &[String]| {
            let root = machine(files);
            let offers = offers(root.path(), disabled);
            offers
                .into_iter()
                .map(|it| (it.jail, it.logpath, it.log.map(|(path, _)| path)))
                .collect::<Vec<_>>()
        };
        let by_file = ("sshd".to_owned(), None, Some(PathBuf::from("/var/log/secure")));
        assert_eq!(offered(&[sshd, unit, ("var/log/secure", "")], &all), [by_file]);
        let by_journal = ("sshd".to_owned(), Some("journal:ssh.service".to_owned()), None);
        assert_eq!(offered(&[sshd, unit], &all), [by_journal]);
        // It logs nowhere, it does not run, its jail is on.
        assert_eq!(offered(&[sshd], &all), []);
        assert_eq!(offered(&[("proc/7/comm", "bash\n"), unit], &all), []);
        assert_eq!(offered(&[sshd, unit], &[]), []);
    }

    #[test]
    fn the_jails_are_built_in() {
        let text = crate::config::load::SHIPPED;
        for known in &KNOWN {
            assert!(text.contains(&format!("\n[jail.{}]\n#enabled = false\n", known.jail)));
            for log in known.logs {
                let name = log.rsplit('/').next().unwrap();
                assert!(text.contains(name), "{log}");
            }
        }
    }
}
