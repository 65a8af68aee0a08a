/** For whoever runs the service: does it live, may it be given work, what does it measure. */
import { Controller, Get, HttpStatus, Res } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Service } from '#ledger';
import { Metrics } from './metrics';
import { QueryOperation } from './operation';

class Live {
  @ApiProperty({ enum: ['ok'] })
  status!: 'ok';
}

class CheckShown {
  @ApiProperty({ enum: ['database', 'schema', 'privileges', 'projector', 'actions', 'sealer'] })
  name!: string;

  @ApiProperty()
  ok!: boolean;

  @ApiProperty({ required: false, description: 'What is wrong, and what to do.' })
  message?: string;
}

class Ready {
  @ApiProperty()
  ready!: boolean;

  @ApiProperty({ type: () => [CheckShown] })
  checks!: CheckShown[];
}

@ApiTags('operation')
@Controller()
export class HealthController {
  constructor(
    private readonly service: Service,
    private readonly metrics: Metrics,
  ) {}

  @Get('health/live')
  @ApiOperation({ summary: 'Whether the process answers', security: [] })
  @ApiResponse({ status: HttpStatus.OK, type: Live })
  live(): Live {
    return { status: 'ok' };
  }

  @Get('health/ready')
  @ApiOperation({
    summary: 'Whether the service may be given work',
    description:
      'The database answers, its schema is that of this release, no projection has failed, and the login of the service could not change recorded events.',
    security: [],
  })
  @ApiResponse({ status: HttpStatus.OK, type: Ready })
  @ApiResponse({ status: HttpStatus.SERVICE_UNAVAILABLE, type: Ready, description: 'Not ready; the checks say why and what to do.' })
  async ready(@Res() reply: FastifyReply): Promise<void> {
    const readiness = await this.service.readiness();
    reply.code(readiness.ready ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE).send(readiness);
  }

  @Get('metrics')
  @QueryOperation({
    summary: 'Metrics for Prometheus',
    description: 'In Prometheus text format. Needs an API key unless METRICS_ACCESS is open.',
    answer: { 'text/plain': { schema: { type: 'string' } } },
  })
  async show(@Res() reply: FastifyReply): Promise<void> {
    reply.header('Content-Type', this.metrics.registry.contentType).send(await this.metrics.registry.metrics());
  }
}
