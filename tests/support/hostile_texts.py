"""Texts that set ``window.ran`` where they are taken for markup, an attribute or an address."""

from __future__ import annotations

HOSTILE = (
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<svg onload=window.ran=1>",
    "<svg><script>window.ran=1</script></svg>",
    '"><img src=x onerror="window.ran=1">',
    "'><img src=x onerror='window.ran=1'>",
    "javascript:window.ran=1",
    "JaVaScRiPt:window.ran=1//",
    "data:text/html,<script>parent.ran=1</script>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<a href=javascript:window.ran=1>x</a>",
    "<body onload=window.ran=1>",
    "<details open ontoggle=window.ran=1>x</details>",
    "<input autofocus onfocus=window.ran=1>",
    "<math><mi//xlink:href='data:x,<script>window.ran=1</script>'>",
    "<template><script>window.ran=1</script></template>",
    "</title><script>window.ran=1</script>",
    "</textarea><script>window.ran=1</script>",
    "<!--><img src=x onerror=window.ran=1>-->",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran=1}",
    "`;window.ran=1;//",
    "&lt;img src=x onerror=window.ran=1&gt;",
    "%3Cimg%20src=x%20onerror=window.ran=1%3E",
    "<style>@import 'javascript:window.ran=1';</style><marquee onstart=window.ran=1>x",
)
