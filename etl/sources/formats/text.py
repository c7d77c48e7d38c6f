"""Defines text access logs outside the combined family, one pattern each: load balancers, proxies, routers, buckets."""

from __future__ import annotations

from typing import Final

from etl.sources.format import Format

_CLF: Final = rb"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
_ISO: Final = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.?\d*(?:Z|[+-]\d\d:\d\d)"
#: Text without a time of its own; Papertrail writes a second time behind a tab.
_UNTIMED: Final = rb"(?:(?!(?<!\t)" + _ISO + rb").)*?"
#: A request, and a user agent within which the line ends.
_CUT_IN_AGENT: Final = rb'(?P<escaped>[^"]*)" "[^"]*'
_AWS: Final = "https://docs.aws.amazon.com/elasticloadbalancing/latest/"

_LOGRAGE: Final = (
    rb"method=(?P<method>[A-Z]+) path=(?P<target>\S+) format=\S* (?:.*? )?status=(?P<status>\d{3})(?: .*)?"
)

FORMATS: Final = (
    Format(
        "aws_alb",
        "text",
        "AWS application load balancer; lines of network load balancers in the same file contain no requests",
        f"{_AWS}application/load-balancer-access-logs.html",
        (
            (
                b"https 2024-05-01T12:00:01.000000Z app/lb/1 192.0.2.7:2817 198.51.100.1:80 0.0 0.1 0.0 200 200 34 366 "
                b'"GET https://t.example.com:443/acme/collect/shop?click_id=a HTTP/1.1" "Acme/1" A TLSv1.2 arn:aws:x "Root=1" '
                b'"-" "-" 0 2024-05-01T12:00:00.500000Z "forward" "-" "-" "198.51.100.1:80" "200" "-" "-"'
            ),
            b'h2 2024-05-01T12:00:01.000000Z app/lb/1 2001:db8::7:2817 - -1 -1 -1 400 - 0 0 "- http://a:80- -" "-" - - - "-"',
        ),
        pattern=rb"(?:https?|h2|grpcs?|wss?) (?P<logged>\d{4}-\d\d-\d\dT[\d:.]+Z) \S+ (?P<client>\S+):\d+ \S+ \S+ \S+ \S+ (?P<status>\S+) \S+ \S+"
        rb' \S+ "(?:(?P<request>.*?)" "(?P<agent>.*?)" [\w-]+ [\w.-]+ (?:-|arn:\S+) "[^"]*"'
        rb'(?: "[^"]*" "[^"]*" \S+ (?P<time>\d[^ "]+Z))?(?: .*)?|' + _CUT_IN_AGENT + rb")"
        rb"|(?:tls|tcp|udp) \d\.\d \d{4}-\S+ net/\S+ .*",
        moment="start",
    ),
    Format(
        "aws_elb",
        "text",
        "AWS classic load balancer",
        f"{_AWS}classic/access-log-collection.html",
        (
            (
                b"2024-05-01T12:00:00.000000Z lb 192.0.2.7:2817 198.51.100.1:80 0.1 0.1 0.1 200 200 0 29 "
                b'"GET http://t.example.com:80/acme/collect/shop?click_id=a HTTP/1.1" "Acme/1" - -'
            ),
            b'2024-05-01T12:00:00.000000Z lb 192.0.2.7:2817 198.51.100.1:80 0.1 0.1 0.1 - - 82 305 "- - - " "-" - -',
        ),
        pattern=rb"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) \S+ (?P<client>\S+):\d+ \S+ [\d.-]+ [\d.-]+ [\d.-]+ (?P<status>\S+) \S+"
        rb' -?\d+ -?\d+ "(?:' + _CUT_IN_AGENT + rb'|(?P<request>.*?)"(?: "(?P<agent>.*?)" [\w-]+ [\w.-]+)?)',
        moment="start",
    ),
    Format(
        "aws_s3",
        "text",
        "Amazon S3 server access log",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html",
        (
            (
                b"79a5 bucket [01/May/2024:12:00:00 +0000] 192.0.2.7 - 3E57 WEBSITE.GET.OBJECT p.gif "
                b'"GET /acme/collect/shop?click_id=a HTTP/1.1" 200 - 43 43 7 6 "-" "Acme/1" - x= SigV4 - - b.example.com TLSv1.2 - -'
            ),
        ),
        pattern=rb"\S+ \S+ "
        + _CLF
        + rb' (?P<client>[\da-fA-F.:]+|-) \S+ \S+ [\w.]+ \S+ (?:"(?P<request>.*?)"|-) (?P<status>\d{3}|-) \S+ (?:\d+|-) (?:\d+|-)'
        rb' (?:\d+|-) (?:\d+|-) (?:".*?"|-) (?:(?:"(?P<agent>.*?)"|-) \S+(?: .*)?|"[^"]*)',
        time="clf",
        moment="start",
    ),
    Format(
        "haproxy",
        "text",
        "HAProxy HTTP log, with times without a zone; other events in the same file contain no requests",
        "https://docs.haproxy.org/3.0/configuration.html#8.2.3",
        (
            (
                b"192.0.2.7:38862 [01/May/2024:12:00:00.250] web~ app/srv1 0/0/1/0/2 200 168 - - ---- 6/6/0/0/0 0/0 "
                b'{t.example.com|} "GET /acme/collect/shop?click_id=a#22 HTTP/1.1"'
            ),
            b'2001:db8::7:1 [01/May/2024:12:00:00.250] web web/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>"',
            b"192.0.2.7:1 [01/May/2024:12:00:00.250] web/1: SSL handshake failure",
        ),
        pattern=rb"(?P<client>\S+):\d* \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] \S+ \S+/\S+(?: \S+)? "
        rb"\+?[\d/+-]+ (?P<status>\d{3}|-1) \+?\d+ \S+ \S+ \S{4} [\d/+-]+ [\d/]+(?: \{.*?\}){0,2} "
        rb'(?:\\"(?P<escaped>.*)\\"|"(?P<request>.*)")(?: [\w./:-]+){0,4}'
        rb"|\S+:\d* \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] [\w.~-]+/\S+: .*"
        rb"|\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] \S+ \S+/\S+ [\d/+-]+ \d+ \S\S [\d/]+ [\d/]+"
        rb"|Connect from \S+ to .*|(?:Proxy|Server|Stopping|Pausing|Health check|backend) .*",
        escape="haproxy",
        time="haproxy",
        moment="start",
        is_zoned=False,
    ),
    Format(
        "heroku",
        "text",
        "Heroku's router, from a log drain or Papertrail; lines of dynos in the same file contain no requests",
        "https://devcenter.heroku.com/articles/http-routing#heroku-router-log-format",
        (
            (
                b'2024-05-01T12:00:00.000000+00:00 heroku[router]: at=info method=GET path="/acme/collect/shop?click_id=a" '
                b'host=t.example.com request_id=1 fwd="192.0.2.7" dyno=web.1 connect=1ms service=18ms status=200 bytes=13'
            ),
            b"2024-05-01T12:00:00.000000+00:00 heroku[web.1]: State changed from starting to up",
        ),
        pattern=rb"(?:<\d+>1 |\d+\t)?(?P<time>"
        + _ISO
        + rb")(?:[ \t]"
        + _UNTIMED
        + rb")?[ \t]heroku(?:\[router\]:| ?/? ?router[:\t]?(?: - -?)?)\s*"
        rb"at="
        + _UNTIMED
        + rb"method=(?P<method>\S*) path=\"?(?P<target>.*?)\"? host=\S* (?:.*?fwd=\"?(?P<client>[^\" ]*)\"? )?"
        rb".*?status=(?P<status>\d*)(?: .*)?"
        rb"|"
        + _ISO
        + rb" (?:heroku\[(?!router)[\w.-]+\]: .*|app\[[\w.-]+\]: (?!\{|\[?\d|https?://|/|\??[\w.-]+=|[A-Z]{3,7} /).*)",
    ),
    Format(
        "envoy",
        "text",
        "Envoy's and Istio's default access log",
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage",
        (
            (
                b'[2024-05-01T12:00:00.310Z] "GET /acme/collect/shop?click_id=a HTTP/2" 200 - 154 0 226 100 "192.0.2.7" '
                b'"Acme/1" "1" "t.example.com" "198.51.100.1:80"'
            ),
            (
                b'[2024-05-01T12:00:00.310Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - '
                b"198.51.100.1:80 192.0.2.7:1 - -"
            ),
        ),
        pattern=rb"\[(?P<time>"
        + _ISO
        + rb')\] "(?P<request>.*?)" (?P<status>\d{1,3}) \S+ (?:\S+ \S+ "[^"]*" )?\d+ \d+ (?:\d+|-)'
        rb' (?:\d+|-) (?:"(?P<client>.*?)" "(?P<agent>.*?)" ".*?" ".*?" ".*?"(?: .*)?|"(?P<address>[^"]*)" "[^"]*)',
        moment="start",
    ),
    Format(
        "nginx_proxy_manager",
        "text",
        "Access log of a host in nginx proxy manager or NPMplus",
        "https://nginxproxymanager.com/advanced-config/",
        (
            (
                b'[01/May/2024:12:00:00 +0000] - 200 200 - GET https t.example.com "/acme/collect/shop?click_id=a" '
                b'[Client 192.0.2.7] [Length 2] [Gzip -] [Sent-to app] "Acme/1" "-"'
            ),
            (
                b'[01/May/2024:12:00:00 +0000] t.example.com 192.0.2.7 0.002 "GET /acme/collect/shop?click_id=a HTTP/2.0" 200 2 '
                b"935 - Acme/1"
            ),
        ),
        pattern=_CLF + rb" (?:(?:\S+ \S+ )?(?P<status>\d{3}|-) - (?P<method>\S+) \S+ \S+ "
        rb'"(?P<target>.*?)" \[Client (?P<client>[^\]]*)\] \[Length [^\]]*\].*?(?: "(?P<agent>.*?)" ".*?")?)'
        rb"|"
        + _CLF.replace(b"time", b"logged")
        + rb' \S+ (?P<address>[\da-fA-F.:]+) [\d.]+ "(?P<request>.*?)" (?P<code>\d{3}) \d+ \d+ .*',
        escape="backslash",
        time="clf",
    ),
    Format(
        "lograge",
        "text",
        "Lograge's one line for each request of a Rails application, behind a logger's time; it logs no queries",
        "https://github.com/roidrage/lograge",
        (
            (
                b"I, [2024-05-01T12:00:00.123456 #812]  INFO -- : method=GET path=/acme/collect/shop format=*/* controller=A "
                b"action=collect status=200 duration=4.10 view=0.20"
            ),
        ),
        pattern=rb"[A-Z], \[(?P<time>\d{4}-\d\d-\d\dT[\d:.]+)(?: #\d+)?\] +[A-Z]+ -- [^:]*: (?:\[[^\]]*\] )*"
        + _LOGRAGE,
        is_zoned=False,
    ),
    Format(
        "lograge_untimed",
        "text",
        "Lograge's lines without a time",
        "https://github.com/roidrage/lograge",
        (b"method=POST path=/acme/collect/shop format=html controller=A action=collect status=200 duration=4.10",),
        pattern=rb"(?:\[[^\]]*\] )*" + _LOGRAGE,
        moment="none",
    ),
    Format(
        "caddy_console",
        "text",
        "Caddy's access log as its console encoder writes it",
        "https://caddyserver.com/docs/caddyfile/directives/log#format-modules",
        (
            (
                b'2024/05/01 12:00:00.123\tINFO\thttp.log.access.log0\thandled request\t{"request": {"remote_ip": "192.0.2.7", '
                b'"remote_port": "443", "proto": "HTTP/2.0", "method": "GET", "host": "t.example.com", "uri": '
                b'"/acme/collect/shop?click_id=a", "headers": {}}, "duration": 0.25, "status": 200}'
            ),
        ),
        pattern=rb"(?P<time>\d{4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|\d{10}(?:\.\d+)?)\t\w+\thttp\.log\.access\S*\t[^\t]*\t"
        rb'\{"request": \{"remote_ip": "(?P<address>[\da-fA-F.:]*)"(?:, "remote_port": "\d*")?(?:, "client_ip": "(?P<client>[\da-fA-F.:]*)")?'
        rb'.*?"method": "(?P<method>[A-Za-z_-]+)", "host": "[^"]*", '
        rb'"uri": "(?P<target>(?:[^"\\]|\\.)*)".*"status": (?P<status>\d+).*',
        escape="json",
        time="any",
        is_zoned=False,
    ),
    Format(
        "iis_native",
        "text",
        "IIS's own log format, with dates as in the United States",
        "https://learn.microsoft.com/windows/win32/http/iis-logging",
        (
            (
                b"192.0.2.7, -, 5/1/2024, 12:00:00, W3SVC1, WEB1, 198.51.100.1, 4, 120, 2, 200, 0, GET, /acme/collect/shop, "
                b"click_id=a&value=1,"
            ),
            b"192.0.2.7, -, 5/1/2024, 12:00:00, W3SVC1, WEB1, 198.51.100.1, 4, 120, 2, 200, 0, POST, /acme/collect/shop, -,",
        ),
        pattern=rb"(?P<client>[\da-fA-F.:]+), [^,]*, (?P<time>\d\d?/\d\d?/(?:\d\d){1,2}, \d\d?:\d\d:\d\d), [^,]*, [^,]*, [^,]*, \d+, \d+, "
        rb"\d+, (?P<status>\d+), \d+, (?P<method>[A-Z]+), (?P<path>[^,]*), (?P<query>.*?),? ?",
        time="any",
        is_zoned=False,
    ),
)
