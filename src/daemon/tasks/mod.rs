//! The tasks beside the engine: reloads, the files of the configuration, databases of places, the geofence, lists, fetched lists, the kernel's limiter, bans without effect, questions to the kernel.

pub(super) mod disk_config;
pub(super) mod feed_refresh;
pub(super) mod geofence;
pub(super) mod geoip_refresh;
pub(super) mod held_bans;
pub(super) mod limiter_poll;
pub(super) mod list_refresh;
pub(super) mod passed_poll;
pub(super) mod reload;
pub(super) mod talked_asker;
