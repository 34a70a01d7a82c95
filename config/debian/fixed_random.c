/* Preloaded into the compilers of a release build by release.sh, and into nothing else: whoever asks for random
 * bytes gets the same ones. Macros of other crates walk tables of Rust's HashMap, whose order is drawn anew in
 * each process, so a crate came out in one of several ways (the texts of `age` do, by `fl!` of i18n-embed-fl).
 */
#include <string.h>
#include <sys/types.h>

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    (void)flags;
    memset(buffer, 7, length);
    return (ssize_t)length;
}
