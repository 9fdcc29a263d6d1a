#include "feeds/venue/venue_coinbase.h"
#include "tests/fuzz_venue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_venue(&venue_coinbase, data, size);
}
