/* The page's template, style and script, as they stand in inspect/html/. Paths are those from the root, where the build runs. */
#include "inspect/html_report.h"

#define EMBED(symbol, path)                                                                                  \
    __asm__(".pushsection .rodata\n"                                                                         \
            ".global " #symbol "\n" #symbol ":\n"                                                            \
            ".incbin \"" path "\"\n"                                                                         \
            ".byte 0\n"                                                                                      \
            ".popsection\n")

EMBED(html_template, "inspect/html/page.html");
EMBED(html_style, "inspect/html/style.css");
EMBED(html_script, "inspect/html/script.js");
