#include "plots/font_system.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H

#include <string.h>

enum { BASELINE = 13 }; /* pixels from the top of the cell: room for the descenders of a 16-pixel font */

/* File of the best match for the family, or "" . Fontconfig always answers with something when any font exists. */
static void find_font(const char *family, char *path, size_t path_size)
{
    path[0] = '\0';
    FcPattern *want = FcNameParse((const FcChar8 *)family);
    if (!want) return;
    FcConfigSubstitute(NULL, want, FcMatchPattern);
    FcDefaultSubstitute(want);
    FcResult result;
    FcPattern *got = FcFontMatch(NULL, want, &result);
    FcChar8 *file = NULL;
    if (got && FcPatternGetString(got, FC_FILE, 0, &file) == FcResultMatch &&
        strlen((char *)file) < path_size)
        strcpy(path, (char *)file);
    if (got) FcPatternDestroy(got);
    FcPatternDestroy(want);
}

static FT_Face open_face(void)
{
    static FT_Library library;
    FT_Face face = NULL;
    char path[1024];
    if (!FcInit() || FT_Init_FreeType(&library) != 0) return NULL;
    find_font("Unifont,monospace:style=Regular", path, sizeof path);
    FcFini(); /* only the path was wanted */
    if (path[0] == '\0' || FT_New_Face(library, path, 0, &face) != 0) return NULL;
    if (FT_Set_Pixel_Sizes(face, 0, GLYPH_H) != 0) {
        FT_Done_Face(face);
        return NULL;
    }
    return face;
}

static void copy_bitmap(const FT_GlyphSlot slot, struct glyph *g)
{
    const FT_Bitmap *b = &slot->bitmap;
    for (unsigned y = 0; y < b->rows; y++) {
        int row = BASELINE - slot->bitmap_top + (int)y;
        if (row < 0 || row >= GLYPH_H) continue;
        const unsigned char *line = b->buffer + (ptrdiff_t)y * b->pitch;
        for (unsigned x = 0; x < b->width; x++) {
            int col = slot->bitmap_left + (int)x;
            if (col >= 0 && col < GLYPH_W_MAX) g->rows[row][col] = (line[x / 8] >> (7 - x % 8)) & 1;
        }
    }
}

static bool render(uint32_t code_point, struct glyph *g)
{
    static FT_Face face;
    static bool tried;
    if (!tried) {
        tried = true;
        face = open_face();
    }
    if (!face) return false;
    FT_UInt index = FT_Get_Char_Index(face, code_point);
    if (index == 0) return false;
    if (FT_Load_Glyph(face, index, FT_LOAD_RENDER | FT_LOAD_TARGET_MONO) != 0) return false;
    if (face->glyph->bitmap.pixel_mode != FT_PIXEL_MODE_MONO) return false;
    memset(g, 0, sizeof *g);
    copy_bitmap(face->glyph, g);
    long advance = face->glyph->advance.x >> 6;
    g->advance = advance < 1 ? 1 : advance > GLYPH_W_MAX ? GLYPH_W_MAX : (int)advance;
    return true;
}

/* Labels are letters and digits over and over: those are drawn by the library once. */
bool font_system_glyph(uint32_t code_point, struct glyph *g)
{
    enum { KEPT = 128 };
    static struct glyph kept[KEPT];
    static bool known[KEPT];
    if (code_point < KEPT && known[code_point]) {
        *g = kept[code_point];
        return true;
    }
    if (!render(code_point, g)) return false;
    if (code_point < KEPT) {
        kept[code_point] = *g;
        known[code_point] = true;
    }
    return true;
}
