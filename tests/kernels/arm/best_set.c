/* The name of the instruction set that a table is scanned with where nobody says which. */
#include <stdio.h>

#include "mmkg.h"

int main(void) {
    const float row[1] = {1.0f};
    mmkg_pool *pool;
    mmkg_scan *scan;
    if (mmkg_pool_open(1, &pool) != MMKG_OK) return 1;
    if (mmkg_scan_open(row, 1, 1, MMKG_INNER_PRODUCT, 0.0f, MMKG_BEST, MMKG_FLOAT32, pool, &scan) != MMKG_OK) return 1;
    puts(mmkg_instruction_set_name(mmkg_scan_instruction_set(scan)));
    mmkg_scan_close(scan);
    mmkg_pool_close(pool);
    return 0;
}
