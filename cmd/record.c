/* SPDX-License-Identifier: MIT */
#include "cmd/cmd.h"

int record_main(int argc, char **argv)
{
    return sample_as(argc, argv,
                     &(struct sample_defaults){
                         .format = "pprof", .output = "oxprof.pb.gz", .help = help_record});
}
