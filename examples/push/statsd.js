// npm's statsd in front of Graphite: node statsd/stats.js statsd.js. Its file is JavaScript, so the environment may say
// where Graphite is.
{
  address: process.env.STATSD_ADDRESS || "0.0.0.0",
  port: Number(process.env.STATSD_PORT || 8125),
  mgmt_address: "127.0.0.1",
  mgmt_port: Number(process.env.STATSD_MANAGEMENT || 8126),
  backends: ["./backends/graphite"],
  graphiteHost: process.env.GRAPHITE_HOST || "127.0.0.1",
  graphitePort: Number(process.env.GRAPHITE_PORT || 2003),
  // no finer than the first retention in storage-schemas.conf
  flushInterval: Number(process.env.STATSD_FLUSH || 10000),
  // the layout of grafana/dashboards/graphite.json: stats.counters.NAME.count, stats.gauges.NAME
  graphite: { legacyNamespace: false },
  // a gauge that was not told for five minutes is no more: a bot tells all of them in each ARGUS_STATSD_REFRESH, 60 s
  deleteGauges: true,
  gaugesMaxTTL: 30,
  automaticConfigReload: false
}
